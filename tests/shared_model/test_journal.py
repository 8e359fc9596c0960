"""A journal only grows, survives being cut short, and shows when it was changed."""

import os
import resource
from pathlib import Path

import pytest

from shared_model.errors import StateError
from shared_model.journal import Journal, read, read_chain


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


def test_a_full_disk_keeps_the_lines_before_and_the_journal_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "journal.jsonl")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        before = journal.head
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limit[1])
        )  # room for half a line
        try:
            with pytest.raises(OSError, match="File too large"):
                journal.append("opened", round=2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert journal.head == before
        journal.append("opened", round=3)
    assert [line["round"] for line in read(path)] == [1, 1, 3]


def test_the_head_tells_two_histories_apart(tmp_path: Path) -> None:
    with Journal(tmp_path / "a") as a, Journal(tmp_path / "b") as b:
        a.append("opened", round=1)
        b.append("opened", round=2)
        assert a.head != b.head


def test_an_exclusive_journal_has_one_writer_and_lets_the_next_one_in(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, exclusive=True), pytest.raises(StateError, match="being written by another process"):
        Journal(path, exclusive=True)
    with Journal(path, exclusive=True) as journal:
        journal.append("opened", round=1)


def test_a_line_of_which_only_the_end_reached_the_disk_is_dropped(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl")
    path.write_bytes(path.read_bytes() + b"\0" * 40 + b'"round": 2}\n')
    assert [line["event"] for line in read(path)] == ["opened", "closed"]


def test_zeros_before_the_last_line_are_no_torn_line(tmp_path: Path) -> None:
    path = written(tmp_path / "journal.jsonl")
    path.write_bytes(b"\0" * 8 + path.read_bytes())
    with pytest.raises(StateError, match="line 1 does not follow"):
        read(path)


def test_the_chain_shows_the_head_after_every_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append("opened", round=1)
        first = journal.head
        journal.append("closed", round=1)
        assert read_chain(path) == [
            (first, {"event": "opened", "round": 1}),
            (journal.head, {"event": "closed", "round": 1}),
        ]


def test_the_name_of_a_durable_journal_is_flushed_before_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.readlink(f"/proc/self/fd/{handle}")))
    path = tmp_path.resolve() / "made" / "journal.jsonl"
    Journal(path, durable=True).close()
    assert flushed[:2] == [str(path.parent), str(tmp_path.resolve())]
