"""A release is acknowledged before it is fitted, and an acknowledged one is fitted whatever happens."""

import threading
from collections.abc import Iterator, Mapping
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
from shared_model.errors import Refused, StateError
from shared_model.protocol import Answer, Instruction, Refusal, SharedArrays

RELEASE = Instruction(fingerprint="agreed", lineage="spring", round=5, digest="spring", kind="adopt")
ROUND = replace(RELEASE, kind="train", merchant="acme", round=1)
ARRAYS: SharedArrays = {"weight": np.ones(2, np.float32)}
TERMS = Terms(
    merchant="acme", fingerprint="agreed", coordinator_key="", pace_seconds=0.0, shapes={"weight": (2,)}
)


@dataclass
class Fitting:
    """Fits until it is told to go on."""

    go_on: threading.Event = field(default_factory=threading.Event)
    refuses_with: Exception | None = None
    fails_with: Exception | None = None
    fitted: list[str] = field(default_factory=list)

    def describe(self) -> Described:
        return Described(name="acme", tier="any", tasks=frozenset(), role="train")

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        return Answer(arrays)

    def check_release(self, instruction: Instruction, arrays: SharedArrays) -> None:
        if self.refuses_with is not None:
            raise self.refuses_with

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> Mapping[str, Any]:
        assert self.go_on.wait(10)
        if self.fails_with is not None:
            raise self.fails_with
        self.fitted.append(instruction.digest)
        return {}


class NoRoomForSpring(Fitting):
    """The disk is full whenever the release of spring is fitted."""

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> Mapping[str, Any]:
        if instruction.digest == "spring":
            raise OSError(28, "No space left on device")
        return super().adopt(instruction, arrays)


def quick(**options: Any) -> Fitting:
    """A merchant whose fits take no time."""
    merchant = Fitting(**options)
    merchant.go_on.set()
    return merchant


def inbox(folder: Path) -> Inbox:
    return Inbox(folder / "received.safetensors")


@contextmanager
def working(folder: Path, merchant: Fitting) -> Iterator[Agent]:
    """An agent; the end of the block waits for every fit."""
    record = Record(folder / "journal.jsonl")
    agent = Agent(merchant, TERMS, record, inbox(folder), last_round=lambda *_: 0, worked_before=False)
    try:
        yield agent
    finally:
        merchant.go_on.set()
        agent.close()
        record.close()


def offer(agent: Agent, digest: str = "spring") -> None:
    agent.adopt(replace(RELEASE, digest=digest), ARRAYS).result(10)


def owner_adopts(agent: Agent, digest: str) -> None:
    agent.adopt_for_owner(replace(RELEASE, digest=digest), ARRAYS).result(10)


def events(agent: Agent) -> list[str]:
    return [line["event"] for line in agent.record.lines()]


# --- acknowledged first -------------------------------------------------------------------------------


def test_a_release_is_acknowledged_before_it_is_fitted(tmp_path: Path) -> None:
    merchant = Fitting()
    with working(tmp_path, merchant) as agent:
        offer(agent)
        assert merchant.fitted == []
        assert agent.status()["at_work"]["kind"] == "adopt"
    assert merchant.fitted == ["spring"]


def test_a_round_that_is_asked_during_a_fit_is_not_refused_but_waits(tmp_path: Path) -> None:
    merchant = Fitting()
    with working(tmp_path, merchant) as agent:
        offer(agent)
        answer = agent.train(ROUND, ARRAYS)
        assert not answer.done()
        merchant.go_on.set()
        assert answer.result(10)
    assert events(agent) == ["received", "adopted", "trained"]


def test_what_is_no_release_of_the_contract_is_refused_before_it_is_acknowledged(tmp_path: Path) -> None:
    wrong = quick(refuses_with=Refused(Refusal.ARRAYS, "not finite"))
    with working(tmp_path, wrong) as agent, pytest.raises(Refused, match="not finite"):
        offer(agent)
    assert inbox(tmp_path).waiting() is None


# --- fitted whatever happens --------------------------------------------------------------------------


def test_an_acknowledged_release_survives_the_end_of_the_process(tmp_path: Path) -> None:
    inbox(tmp_path).put(RELEASE, ARRAYS)  # acknowledged by a process that was killed
    merchant = quick()
    with working(tmp_path, merchant) as agent:
        pass
    assert merchant.fitted == ["spring"]
    assert events(agent) == ["received", "adopted"]
    assert inbox(tmp_path).waiting() is None


def test_a_release_that_found_no_room_is_tried_again_at_the_next_start(tmp_path: Path) -> None:
    with working(tmp_path, quick(fails_with=OSError(28, "No space left on device"))) as agent:
        offer(agent)
    merchant = quick()
    with working(tmp_path, merchant):
        pass
    assert merchant.fitted == ["spring"]
    assert events(agent) == ["received", "refused", "adopted"]


def test_a_release_that_found_no_room_does_not_replace_what_the_owner_wanted_since(tmp_path: Path) -> None:
    crowded = NoRoomForSpring()
    crowded.go_on.set()
    with working(tmp_path, crowded) as agent:
        offer(agent)
        owner_adopts(agent, "summer")
    merchant = quick()
    with working(tmp_path, merchant):
        pass
    assert (crowded.fitted, merchant.fitted) == (["summer"], [])


def test_to_forget_an_older_release_never_removes_one_that_comes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = inbox(tmp_path)
    kept.put(RELEASE, ARRAYS)
    coming = threading.Thread(target=kept.put, args=(replace(RELEASE, digest="summer"), ARRAYS))

    def while_one_comes() -> tuple[Instruction, SharedArrays] | None:
        found = Inbox.waiting(kept)
        coming.start()
        coming.join(0.1)
        return found

    monkeypatch.setattr(kept, "waiting", while_one_comes)
    kept.forget(RELEASE)
    coming.join()
    found = Inbox.waiting(kept)
    assert found is not None
    assert found[0].digest == "summer"


def test_a_fit_that_fails_is_told_to_the_owner_alone_and_not_tried_again(tmp_path: Path) -> None:
    with working(tmp_path, quick(fails_with=RuntimeError("shopper 4711"))) as agent:
        offer(agent)
    assert events(agent) == ["received", "refused"]
    assert inbox(tmp_path).waiting() is None


def test_a_fit_that_fails_is_an_error_for_the_owner_who_asked_for_it(tmp_path: Path) -> None:
    failing = quick(fails_with=RuntimeError("shopper 4711"))
    with working(tmp_path, failing) as agent, pytest.raises(Refused) as refused:
        owner_adopts(agent, "spring")
    assert refused.value.code == Refusal.FAILED


def test_a_newer_release_is_kept_while_the_older_one_is_fitted(tmp_path: Path) -> None:
    received = inbox(tmp_path)
    received.put(replace(RELEASE, digest="summer"), ARRAYS)
    received.forget(RELEASE)
    waiting = received.waiting()
    assert waiting is not None
    assert waiting[0].digest == "summer"
    assert waiting[1]["weight"].tolist() == [1.0, 1.0]


def test_a_damaged_release_is_named(tmp_path: Path) -> None:
    (tmp_path / "received.safetensors").write_bytes(b"nonsense")
    with pytest.raises(StateError, match="received"):
        inbox(tmp_path).waiting()


# --- sent again ---------------------------------------------------------------------------------------


def test_a_release_that_is_sent_again_and_again_is_adopted_once(tmp_path: Path) -> None:
    merchant = quick()
    with working(tmp_path, merchant) as agent:
        for _ in range(3):
            offer(agent)
    with working(tmp_path, merchant) as agent:
        owner_adopts(agent, "spring")  # the shop's rows may be others by now
    assert merchant.fitted == ["spring"] * 2


def test_a_release_that_was_replaced_does_not_come_back_through_the_node(tmp_path: Path) -> None:
    with working(tmp_path, quick()) as agent:
        for digest in ("spring", "summer", "summer"):
            offer(agent, digest)
    with working(tmp_path, quick()) as restarted, pytest.raises(Refused) as refused:
        offer(restarted, "spring")
    assert refused.value.code == Refusal.ROUND


def test_one_that_is_replaced_by_a_release_not_fitted_yet_does_not_come_back(tmp_path: Path) -> None:
    with working(tmp_path, quick()) as agent:
        offer(agent, "spring")
    with working(tmp_path, Fitting()) as agent:
        offer(agent, "summer")
        with pytest.raises(Refused) as refused:
            offer(agent, "spring")
    assert refused.value.code == Refusal.ROUND


def refused_again(folder: Path, merchant: Fitting) -> Refusal:
    """Offer two releases and the first of them again, and return the refusal of that."""
    with working(folder, merchant) as agent:
        for digest in ("spring", "summer"):
            offer(agent, digest)
        with pytest.raises(Refused) as refused:
            offer(agent, "spring")
    return refused.value.code


def test_no_answer_tells_whether_an_earlier_release_was_fitted_or_failed(tmp_path: Path) -> None:
    failing = quick(fails_with=RuntimeError("shopper 4711"))
    assert refused_again(tmp_path / "fitted", quick()) == Refusal.ROUND
    assert refused_again(tmp_path / "failed", failing) == Refusal.ROUND
    assert refused_again(tmp_path / "at work", Fitting()) == Refusal.ROUND


def test_one_whose_fit_failed_before_a_restart_does_not_come_back_either(tmp_path: Path) -> None:
    with working(tmp_path, quick(fails_with=RuntimeError("shopper 4711"))) as agent:
        for digest in ("spring", "summer"):
            offer(agent, digest)
    with working(tmp_path, quick()) as restarted, pytest.raises(Refused):
        offer(restarted, "spring")


def test_the_end_of_an_older_fit_does_not_put_it_in_the_place_of_a_newer_release(tmp_path: Path) -> None:
    merchant = Fitting()
    with working(tmp_path, merchant) as agent:
        for digest in ("spring", "summer"):
            offer(agent, digest)
        merchant.go_on.set()
        agent.train(ROUND, ARRAYS).result(10)  # waits for both fits
        offer(agent, "summer")
    assert merchant.fitted == ["spring", "summer"]


def test_the_owner_may_go_back_to_an_older_release(tmp_path: Path) -> None:
    merchant = quick()
    with working(tmp_path, merchant) as agent:
        for digest in ("spring", "summer"):
            offer(agent, digest)
        owner_adopts(agent, "spring")
    assert merchant.fitted == ["spring", "summer", "spring"]
