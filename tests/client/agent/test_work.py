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

    def describe(self) -> Described:
        return Described(name="acme", tier="any", tasks=frozenset(), role="train")

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        self.begun.set()
        assert self.go_on.wait(10)
        self.trained += 1
        if self.fails_with is not None:
            raise self.fails_with
        return Answer({name: 2 * array for name, array in arrays.items()})

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> Mapping[str, Any]:
        if self.fails_with is not None:
            raise self.fails_with
        return {}


@contextmanager
def working(
    folder: Path, merchant: Slow, *, stored: int = 0, terms: Terms = TERMS, now: float = 0.0
) -> Iterator[Agent]:
    record = Record(folder / "journal.jsonl")
    agent = Agent(
        merchant, terms, record, last_round=lambda *_: stored, worked_before=stored > 0, clock=lambda: now
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


@pytest.mark.parametrize(
    "other", [{"round": 2}, {"digest": "e"}, {"lineage": "autumn"}, {"kind": "adopt"}], ids=str
)
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
        agent.adopt(replace(ROUND, kind="adopt"), ARRAYS).result(10)
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


def test_a_release_that_is_sent_again_and_again_is_adopted_once(tmp_path: Path) -> None:
    with working(tmp_path, Slow()) as agent:
        for _ in range(3):
            adopted(agent, "spring").result(10)
        assert events(agent) == ["adopted"]
        adopted(agent, "spring", by_owner=True).result(10)  # the shop's rows may be others by now
        assert events(agent) == ["adopted"] * 2


def test_a_fit_that_fails_is_told_to_the_owner_alone(tmp_path: Path) -> None:
    with working(tmp_path, Slow(fails_with=RuntimeError("shopper 4711"))) as agent:
        assert adopted(agent, "spring").result(10) is None
        assert events(agent) == ["refused"]
        assert code_of(adopted(agent, "spring", by_owner=True)) == Refusal.FAILED


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


def adopted(agent: Agent, digest: str, *, by_owner: bool = False) -> "Future[None]":
    offer = replace(ROUND, kind="adopt", merchant="", digest=digest)
    return (agent.adopt_for_owner if by_owner else agent.adopt)(offer, ARRAYS)


def test_a_release_that_was_replaced_does_not_come_back_through_the_node(tmp_path: Path) -> None:
    with working(tmp_path, Slow()) as agent:
        for digest in ("spring", "summer", "summer"):
            adopted(agent, digest).result(10)
        assert code_of(adopted(agent, "spring")) == Refusal.ROUND
    with working(tmp_path, Slow()) as restarted:
        assert code_of(adopted(restarted, "spring")) == Refusal.ROUND


def test_the_owner_may_go_back_to_an_older_release(tmp_path: Path) -> None:
    with working(tmp_path, Slow()) as agent:
        for digest in ("spring", "summer"):
            adopted(agent, digest).result(10)
        adopted(agent, "spring", by_owner=True).result(10)
        assert events(agent) == ["adopted"] * 3
