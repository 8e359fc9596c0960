"""A journal only grows, survives being cut short, and shows when it was changed."""

import errno
import io
from pathlib import Path

import pytest

from shared_model.errors import StateError
from shared_model.journal import Journal, read


def written(path: Path) -> Path:
    with Journal(path) as journal:
        journal.append("opened", round=1)
        journal.append("closed", round=1, accepted=["acme"])
    return path


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    lines = read(written(tmp_path / "journal.jsonl"))
    assert lines == [{"event": "opened", "round": 1}, {"event": "closed", "round": 1, "accepted": ["acme"]}]


def test_a_journal_opened_again_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl")
    with Journal(path, durable=True) as journal:
        journal.append("opened", round=2)
    assert [line["round"] for line in read(path)] == [1, 1, 2]


def test_a_line_cut_short_by_a_crash_is_dropped(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl")
    path.write_bytes(path.read_bytes()[:-5])
    with Journal(path) as journal:
        journal.append("closed", round=1, accepted=[])
    assert [line["event"] for line in read(path)] == ["opened", "closed"]


@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: [lines[1]],
        lambda lines: [lines[1], lines[0]],
        lambda lines: [lines[0].replace(b'"round": 1', b'"round": 7'), lines[1]],
        lambda lines: [b"not json\n", lines[1]],
        lambda lines: [b"[1, 2]\n", lines[1]],
    ],
    ids=["removed", "swapped", "changed", "garbage", "no object"],
)
def test_a_changed_journal_is_refused(tmp_path: Path, tamper: object) -> None:
    path = written(tmp_path / "journal.jsonl")
    path.write_bytes(b"".join(tamper(path.read_bytes().splitlines(keepends=True))))  # type: ignore[operator]
    with pytest.raises(StateError, match="does not follow from the line before it"):
        Journal(path)


def test_a_full_disk_keeps_the_lines_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "journal.jsonl")
    journal = Journal(path)
    before = journal.head

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def fileno(self) -> int:
            return journal_file.fileno()

    journal_file = journal._file
    monkeypatch.setattr(journal, "_file", Full())
    monkeypatch.setattr("os.ftruncate", lambda handle, size: None)
    with pytest.raises(OSError, match="No space left"):
        journal.append("opened", round=2)
    assert journal.head == before
    journal_file.close()
    assert len(read(path)) == 2


def test_the_head_tells_two_histories_apart(tmp_path: Path) -> None:
    with Journal(tmp_path / "a") as a, Journal(tmp_path / "b") as b:
        a.append("opened", round=1)
        b.append("opened", round=2)
        assert a.head != b.head
