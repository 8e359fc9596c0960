"""One question at a time, to its end, in a thread of its own; the same one asked meanwhile joins."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.agent.guard import Terms
from client.agent.inbox import Inbox
from client.agent.record import Record
from client.agent.stub import Described
from client.agent.work import Agent
from shared_model.errors import Refused
from shared_model.protocol import Answer, Instruction, Refusal, SharedArrays

ROUND = Instruction(fingerprint="agreed", lineage="spring", round=1, digest="d", merchant="acme")
ARRAYS: SharedArrays = {"weight": np.ones(2, np.float32)}
TERMS = Terms(
    merchant="acme", fingerprint="agreed", coordinator_key="", pace_seconds=60.0, shapes={"weight": (2,)}
)


@dataclass
class Slow:
    """Trains until it is told to go on; answers twice what came."""

    begun: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    trained: int = 0
    fails_with: Exception | None = None
    seconds: float = 0.0
    now: float = 0.0

    def describe(self) -> Described:
        return Described(name="acme", tier="any", tasks=frozenset(), role="train")

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        self.begun.set()
        assert self.go_on.wait(10)
        self.trained += 1
        self.now += self.seconds
        if self.fails_with is not None:
            raise self.fails_with
        return Answer({name: 2 * array for name, array in arrays.items()})

    def check_release(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Take any."""

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> Mapping[str, Any]:
        return {}


@contextmanager
def working(folder: Path, merchant: Slow, *, stored: int = 0, terms: Terms = TERMS) -> Iterator[Agent]:
    record = Record(folder / "journal.jsonl")
    agent = Agent(
        merchant,
        terms,
        record,
        Inbox(folder / "received.safetensors"),
        last_round=lambda *_: stored,
        worked_before=stored > 0,
        clock=lambda: merchant.now,
    )
    try:
        yield agent
    finally:
        merchant.go_on.set()
        agent.close()
        record.close()


def code_of(answer: "Future[Any]") -> int:
    with pytest.raises(Refused) as refused:
        answer.result(10)
    return refused.value.code


def events(agent: Agent) -> list[str]:
    return [line["event"] for line in agent.record.lines()]


def test_the_same_question_joins_the_work_and_gets_the_same_answer(tmp_path: Path) -> None:
    merchant = Slow()
    with working(tmp_path, merchant) as agent:
        first = agent.train(ROUND, ARRAYS)
        merchant.begun.wait(10)
        second = agent.train(ROUND, ARRAYS)
        merchant.go_on.set()
        assert first.result(10) is second.result(10)
    assert merchant.trained == 1


@pytest.mark.parametrize("other", [{"round": 2}, {"digest": "e"}, {"lineage": "autumn"}], ids=str)
def test_another_question_is_told_to_wait(tmp_path: Path, other: dict[str, Any]) -> None:
    merchant = Slow()
    with working(tmp_path, merchant) as agent:
        agent.train(ROUND, ARRAYS)
        with pytest.raises(Refused) as refused:
            agent.train(replace(ROUND, **other), ARRAYS)
        assert refused.value.code == Refusal.BUSY


def test_the_owner_sees_what_is_at_work_and_that_nothing_is(tmp_path: Path) -> None:
    merchant = Slow()
    with working(tmp_path, merchant) as agent:
        assert agent.status()["at_work"] is None
        answer = agent.train(ROUND, ARRAYS)
        at_work = agent.status()["at_work"]
        assert (at_work["kind"], at_work["lineage"], at_work["round"]) == ("train", "spring", 1)
        merchant.go_on.set()
        answer.result(10)
        agent.adopt_for_owner(replace(ROUND, kind="adopt"), ARRAYS).result(10)
        assert agent.status()["trainings"][0]["last_round"] == 1


def test_an_answer_has_its_line_in_the_journal_before_anybody_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = Slow()
    merchant.go_on.set()
    with working(tmp_path, merchant) as agent:
        with monkeypatch.context() as patch:
            patch.setattr(agent.record._journal, "append", _full)
            assert code_of(agent.train(ROUND, ARRAYS)) == Refusal.FAILED
        assert agent.train(ROUND, ARRAYS).result(10)
        assert events(agent) == ["repeated"]


def _full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_round_sooner_than_the_pace_is_refused_and_the_last_one_again_is_not(tmp_path: Path) -> None:
    merchant = Slow()
    merchant.go_on.set()
    with working(tmp_path, merchant) as agent:
        agent.train(ROUND, ARRAYS).result(10)
        assert code_of(agent.train(replace(ROUND, round=2), ARRAYS)) == Refusal.PACE
        agent.train(ROUND, ARRAYS).result(10)
        assert events(agent) == ["trained", "refused"]


def test_after_a_restart_the_stored_round_may_be_asked_again_but_no_new_one(tmp_path: Path) -> None:
    merchant = Slow()
    merchant.go_on.set()
    with working(tmp_path, merchant, stored=1) as agent:
        assert code_of(agent.train(replace(ROUND, round=2), ARRAYS)) == Refusal.PACE
        agent.train(ROUND, ARRAYS).result(10)


def test_a_round_that_is_asked_for_again_and_again_has_one_line_for_every_process(tmp_path: Path) -> None:
    for _ in range(2):
        merchant = Slow()
        merchant.go_on.set()
        with working(tmp_path, merchant, stored=1) as agent:
            for _ in range(3):
                agent.train(ROUND, ARRAYS).result(10)
            assert merchant.trained == 3
    assert events(agent) == ["repeated"] * 2


def test_a_round_that_failed_may_be_tried_again_at_once(tmp_path: Path) -> None:
    merchant = Slow(fails_with=OSError(28, "No space left on device"))
    merchant.go_on.set()
    with working(tmp_path, merchant) as agent:
        assert code_of(agent.train(ROUND, ARRAYS)) == Refusal.FAILED
        merchant.fails_with = None
        assert agent.train(ROUND, ARRAYS).result(10)


def test_an_error_becomes_a_code_and_its_text_stays(tmp_path: Path) -> None:
    merchant = Slow(fails_with=RuntimeError("shopper 4711"))
    merchant.go_on.set()
    with working(tmp_path, merchant) as agent, pytest.raises(Refused) as refused:
        agent.train(ROUND, ARRAYS).result(10)
    assert refused.value.code == Refusal.FAILED
    assert "4711" not in str(refused.value)
    assert refused.value.__cause__ is None


# --- when an answer leaves ----------------------------------------------------------------------------


def held_back(folder: Path, merchant: Slow, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long answers were held back, in seconds, of a merchant whose contract says 20."""
    waited: list[float] = []
    merchant.go_on.set()
    with working(folder, merchant, terms=replace(TERMS, answer_seconds=20.0)) as agent:
        monkeypatch.setattr(agent._closing, "wait", waited.append)
        agent.train(ROUND, ARRAYS).exception(10)
    return waited


def test_an_answer_leaves_when_the_contract_says_and_not_when_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert held_back(tmp_path, Slow(seconds=3.0), monkeypatch) == [17.0]


def test_an_answer_that_took_longer_leaves_at_the_next_multiple(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert held_back(tmp_path, Slow(seconds=45.0), monkeypatch) == [15.0]


def test_a_failure_leaves_no_sooner_than_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Slow(seconds=3.0, fails_with=RuntimeError("diverged"))
    assert held_back(tmp_path, failing, monkeypatch) == [17.0]


def test_without_such_a_term_an_answer_leaves_at_once(tmp_path: Path) -> None:
    merchant = Slow(seconds=3.0)
    merchant.go_on.set()
    with working(tmp_path, merchant) as agent:
        assert agent.train(ROUND, ARRAYS).result(10)
