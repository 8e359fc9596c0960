"""What the agent was asked, and what it did, is on the disk; and cannot fill it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.acceptance import Accepted, Rival
from client.agent.record import Record, evidence, history
from shared_model import journal
from shared_model.errors import DataError, Refused
from shared_model.protocol import Instruction, Refusal

ROUND = Instruction(fingerprint="agreed", lineage="spring", round=4, digest="d", merchant="acme")
TOO_SOON = Refused(Refusal.PACE, "wait a little")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(tmp_path: Path, clock: Clock) -> Iterator[Record]:
    record = Record(tmp_path / "journal.jsonl", clock=clock)
    yield record
    record.close()


def line(event: str, **facts: Any) -> dict[str, Any]:
    return {"event": event, "at": "noon", **facts}


def test_a_refusal_is_noted_with_its_code_and_reason(record: Record) -> None:
    assert record.refuse("train", TOO_SOON, ROUND) is Refusal.PACE
    (noted,) = record.lines()
    assert noted.pop("at")
    assert noted == {
        "event": "refused", "call": "train", "code": "PACE", "reason": "wait a little",
        "lineage": "spring", "round": 4,
    }  # fmt: skip


def test_the_text_of_an_unexpected_error_is_not_noted(record: Record) -> None:
    assert record.refuse("train", KeyError("shopper 4711")) is Refusal.FAILED
    assert record.lines()[0]["reason"] == "KeyError"


def test_passwords_are_masked(record: Record) -> None:
    record.refuse("train", DataError("cannot open postgresql://shop:secret@db/shop"))
    assert "secret" not in record.path.read_text()


def test_refusals_of_one_code_are_noted_ten_times_a_minute_and_counted(record: Record, clock: Clock) -> None:
    for _ in range(1000):
        record.refuse("train", TOO_SOON)
    record.refuse("train", Refused(Refusal.BUSY, "another code"))
    assert len(record.lines()) == 11
    clock.now = 60.0
    record.refuse("train", TOO_SOON)
    assert record.lines()[-1]["unlisted"] == 990


def test_a_full_disk_does_not_stop_a_refusal(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record._journal, "append", full)
    assert record.refuse("train", TOO_SOON) is Refusal.PACE


def test_the_history_counts_rounds_once_and_tells_the_last() -> None:
    told = history(
        [
            line("started"),
            line("trained", lineage="spring", round=1),
            line("repeated", lineage="spring", round=1),
            line("trained", lineage="spring", round=3),
            line("repeated", lineage="autumn", round=1),
        ]
    )
    assert told["trainings"] == [
        {"lineage": "spring", "rounds": 2, "last_round": 3, "at": "noon"},
        {"lineage": "autumn", "rounds": 1, "last_round": 1, "at": "noon"},
    ]
    assert told["started"] == "noon"
    assert told["adopted"] is None


def test_the_history_tells_the_last_refusals_and_the_last_adoption() -> None:
    lines = [line("refused", code="PACE", reason=str(i)) for i in range(30)]
    adopted = [line("adopted", round=i, tasks={}) for i in (1, 2)]
    told = history([*lines, *adopted])
    assert [refusal["reason"] for refusal in told["refusals"]] == [str(i) for i in range(10, 30)]
    assert told["adopted"] == {"at": "noon", "round": 2, "tasks": {}}


def test_evidence_that_is_not_a_number_can_be_written_as_json(record: Record) -> None:
    nan = float("nan")
    rivals = {"alone": Rival(0.5, 0.1, 9, 5.0), "mixture": Rival(nan, nan, 0, nan)}
    found = evidence({"late": Accepted("federated", 2.0, {}), "units": Accepted("alone", 2.3, rivals)})
    record.note("adopted", tasks=found)
    assert json.loads(json.dumps(journal.read(record.path)[0]["tasks"], allow_nan=False)) == {
        "late": {"choice": "federated", "needed": 2.0, "rivals": {}},
        "units": {
            "choice": "alone",
            "needed": 2.3,
            "rivals": {
                "alone": {"advantage": 0.5, "standard_error": 0.1, "rows": 9, "pooled": 5.0},
                "mixture": {"advantage": None, "standard_error": None, "rows": 0, "pooled": None},
            },
        },
    }
