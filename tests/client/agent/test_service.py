"""A merchant behind real sockets: the coordinator is served, everybody else gets a number."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from client.agent import agent_pb2, codes, wire
from client.agent.addresses import CHANNEL_OPTIONS, target
from client.agent.agent_pb2_grpc import MerchantStub, OwnerStub
from client.agent.stub import owner_status
from client.rounds import Trained
from shared_model import signing
from shared_model.errors import Refused
from shared_model.model import MultiTaskModel
from shared_model.protocol import SCALES, Instruction, Refusal, SharedArrays
from tests.client import shops
from tests.client.agent.desk import OTHER_KEY, Desk, contract, desk, forged, offered, signed
from tests.client.waiting import eventually


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Desk]:
    with desk(shops.merchant(tmp_path, agreement=contract())) as opened:
        yield opened


def code(desk: Desk, instruction: Instruction, arrays: SharedArrays) -> int:
    with pytest.raises(Refused) as refused:
        desk.stub.train(instruction, arrays)
    return refused.value.code


def same(a: SharedArrays, b: SharedArrays) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


# --- what is served -----------------------------------------------------------------------------------


def test_a_merchant_behind_the_socket_describes_itself_by_public_facts(open_desk: Desk) -> None:
    facts = open_desk.stub.describe()
    assert (facts.name, facts.tier, facts.tasks) == ("acme", "any", frozenset({"bought", "amount"}))


def test_a_round_through_the_socket_is_the_round_that_the_merchant_trains(tmp_path: Path) -> None:
    direct = shops.merchant(tmp_path / "direct", agreement=contract())
    with desk(shops.merchant(tmp_path / "behind", agreement=contract())) as behind:
        arrays = behind.start()
        expected = direct.train(signed(direct.federation, arrays), arrays).arrays
        assert same(behind.train(arrays), expected)


def test_in_half_precision_the_answer_is_half_precision(tmp_path: Path) -> None:
    with desk(shops.merchant(tmp_path, agreement=contract(precision="float16"))) as opened:
        answer = opened.train()
        assert {array.dtype for array in answer.values()} == {np.dtype(np.float16)}
        opened.adopt()
        assert opened.merchant.served()


def test_whole_steps_and_their_lengths_cross_the_socket(tmp_path: Path) -> None:
    direct = shops.merchant(tmp_path / "direct", agreement=contract(precision="int8"))
    with desk(shops.merchant(tmp_path / "behind", agreement=contract(precision="int8"))) as behind:
        arrays = behind.start()
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
        answer = behind.train(arrays)
        assert same(answer, direct.train(signed(direct.federation, arrays), arrays).arrays)
        assert {array.dtype for n, array in answer.items() if n != SCALES} == {np.dtype(np.int8)}


def test_the_same_round_asked_again_gets_the_same_bytes_and_trains_once(open_desk: Desk) -> None:
    assert same(open_desk.train(), open_desk.train())
    assert [line["event"] for line in open_desk.journal] == ["trained"]


def test_an_adoption_tells_the_evidence_to_the_owner_alone(open_desk: Desk) -> None:
    open_desk.adopt()
    told = owner_status(open_desk.merchant.config.state)
    assert told is not None
    assert set(told["adopted"]["tasks"]) == {"bought", "amount"}
    assert told["adopted"]["tasks"]["bought"]["rivals"]["alone"]["rows"] == 10


def test_the_node_cannot_ask_what_the_owner_may(open_desk: Desk) -> None:
    with grpc.insecure_channel(target(open_desk.socket), options=CHANNEL_OPTIONS) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            OwnerStub(channel).Status(agent_pb2.Nothing())
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


# --- what is refused ----------------------------------------------------------------------------------


def test_an_unsigned_instruction_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    asked = shops.instruction(open_desk.federation, arrays, merchant="acme")
    assert code(open_desk, asked, arrays) == Refusal.SIGNATURE


def test_one_signed_with_another_key_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    asked = shops.instruction(open_desk.federation, arrays, merchant="acme")
    assert code(open_desk, signing.signed(asked, signing.read_key(OTHER_KEY)), arrays) == Refusal.SIGNATURE


def test_one_that_was_changed_after_signing_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    changed = forged(signed(open_desk.federation, arrays), round=2)
    assert code(open_desk, changed, arrays) == Refusal.SIGNATURE


def test_one_for_another_merchant_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    asked = signed(open_desk.federation, arrays, merchant="bravo")
    assert code(open_desk, asked, arrays) == Refusal.RECIPIENT


def test_a_release_is_no_round_and_a_round_no_release(open_desk: Desk) -> None:
    arrays = open_desk.start()
    assert code(open_desk, offered(open_desk.federation, arrays), arrays) == Refusal.RECIPIENT
    with pytest.raises(Refused) as refused:
        open_desk.stub.adopt(signed(open_desk.federation, arrays), arrays)
    assert refused.value.code == Refusal.RECIPIENT


def test_one_under_another_contract_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    asked = signed(open_desk.federation, arrays, fingerprint="0" * 64)
    assert code(open_desk, asked, arrays) == Refusal.FINGERPRINT


def test_one_of_another_version_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    assert code(open_desk, signed(open_desk.federation, arrays, version=99), arrays) == Refusal.VERSION


def test_an_older_round_sent_again_by_somebody_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    first = signed(open_desk.federation, arrays)
    open_desk.stub.train(first, arrays)
    open_desk.train(round=2, answered=1)
    assert code(open_desk, first, arrays) == Refusal.ROUND


def test_a_round_after_answers_that_were_never_given_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    assert code(open_desk, signed(open_desk.federation, arrays, round=3, answered=2), arrays) == Refusal.ROUND


def test_a_round_that_was_missed_may_be_skipped(open_desk: Desk) -> None:
    assert open_desk.train(round=3, answered=0)


def test_a_round_beyond_the_plan_is_refused(open_desk: Desk) -> None:
    arrays = open_desk.start()
    assert code(open_desk, signed(open_desk.federation, arrays, round=6), arrays) == Refusal.ROUND


def test_the_same_round_with_other_arrays_is_a_conflict(open_desk: Desk) -> None:
    open_desk.train()
    other = open_desk.start(seed=1)
    assert code(open_desk, signed(open_desk.federation, other), other) == Refusal.CONFLICT


def test_a_round_too_soon_is_refused_and_the_last_one_is_still_repeated(tmp_path: Path) -> None:
    now = [0.0]
    merchant = shops.merchant(tmp_path, agreement=contract(pace_seconds=60.0))
    with desk(merchant, clock=lambda: now[0]) as opened:
        arrays = opened.start()
        first = opened.train(arrays)
        second = signed(opened.federation, arrays, round=2, answered=1)
        assert code(opened, second, arrays) == Refusal.PACE
        assert same(opened.train(arrays), first)
        now[0] = 60.0
        assert opened.stub.train(second, arrays).arrays


@pytest.mark.parametrize(
    "spoil",
    [
        lambda arrays: arrays | {"heads.bought.own.weight": np.zeros((1, 4), np.float32)},
        lambda arrays: dict(list(arrays.items())[1:]),
        lambda arrays: {n: a.astype(np.float64) for n, a in arrays.items()},
        lambda arrays: {n: a.astype(np.float16) for n, a in arrays.items()},
        lambda arrays: {n: a.view(np.int32) for n, a in arrays.items()},
        lambda arrays: {n: np.full_like(a, np.nan) for n, a in arrays.items()},
        lambda arrays: {n: a.T for n, a in arrays.items()},
    ],
    ids=["an extra head", "a missing one", "larger", "smaller", "other numbers", "not finite", "turned"],
)
def test_arrays_that_are_not_the_contracts_are_refused_although_signed(
    open_desk: Desk, spoil: object
) -> None:
    arrays = spoil(open_desk.start())  # type: ignore[operator]
    assert code(open_desk, signed(open_desk.federation, arrays), arrays) == Refusal.ARRAYS
    assert open_desk.train()


def test_arrays_that_the_instruction_does_not_name_are_refused(open_desk: Desk) -> None:
    asked = signed(open_desk.federation, open_desk.start())
    assert code(open_desk, asked, open_desk.start(seed=1)) == Refusal.ARRAYS


def sent(desk: Desk, questions: Iterator[agent_pb2.Question]) -> str:
    """What the status of a call says when somebody writes the messages of a question as they please."""
    with grpc.insecure_channel(target(desk.socket), options=CHANNEL_OPTIONS) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            list(MerchantStub(channel).Train(questions, timeout=20))
        return str(refused.value.details())


def test_one_byte_more_than_the_contract_has_is_refused_at_once(open_desk: Desk) -> None:
    arrays = open_desk.start()

    def endless() -> Iterator[agent_pb2.Question]:
        yield from wire.questions(signed(open_desk.federation, arrays), arrays)
        while True:
            yield agent_pb2.Question(chunk=b"x")

    assert codes.read(sent(open_desk, endless())) == Refusal.ARRAYS


def test_without_a_signed_instruction_nothing_more_is_read(open_desk: Desk) -> None:
    def endless() -> Iterator[agent_pb2.Question]:
        while True:
            yield agent_pb2.Question(chunk=b"x" * wire.CHUNK_BYTES)

    assert codes.read(sent(open_desk, endless())) == Refusal.SIGNATURE


def test_a_message_larger_than_grpc_takes_by_default_is_not_taken(open_desk: Desk) -> None:
    large = agent_pb2.Question(chunk=b"x" * (4 * wire.CHUNK_BYTES))
    assert "larger than max" in sent(open_desk, iter([large]))


# --- what is said about it ----------------------------------------------------------------------------


def failing(desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(desk.merchant.rounds, "train", fail)


def test_an_error_leaves_as_a_code_and_never_as_text(
    open_desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(open_desk, monkeypatch, RuntimeError("shopper-4711"))
    arrays = open_desk.start()
    asked = signed(open_desk.federation, arrays)
    with caplog.at_level(logging.INFO):
        assert sent(open_desk, wire.questions(asked, arrays)) == str(int(Refusal.FAILED))
    assert "shopper-4711" in caplog.text  # in the agent's own log


def test_a_full_disk_leads_to_a_code_and_the_agent_lives_on(
    open_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = open_desk.start()
    asked = signed(open_desk.federation, arrays)
    with monkeypatch.context() as patch:
        failing(open_desk, patch, OSError(28, "No space left on device"))
        assert code(open_desk, asked, arrays) == Refusal.FAILED
    assert "No space left" in open_desk.journal[-1]["reason"]
    assert open_desk.stub.train(asked, arrays).arrays


def test_refusals_are_told_to_the_owner_with_the_reason(open_desk: Desk) -> None:
    with pytest.raises(Refused):
        open_desk.train(merchant="bravo")
    told = owner_status(open_desk.merchant.config.state)
    assert told is not None
    (refusal,) = told["refusals"]
    assert (refusal["code"], refusal["call"]) == ("RECIPIENT", "train")
    assert "bravo" in refusal["reason"]


# --- who goes away, and who comes back ----------------------------------------------------------------


class Gate:
    """Stands for a training that takes its time."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.times = threading.Event(), threading.Event(), 0

    def __call__(self, model: MultiTaskModel, instruction: Instruction, memory: object) -> Trained:
        self.times += 1
        self.begun.set()
        assert self.go_on.wait(20)
        return Trained("", {}, {})


def counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> list[Instruction]:
    """Fills up with the rounds that pass all checks and reach the work."""
    reached: list[Instruction] = []
    train = desk.agent.train

    def noted(instruction: Instruction, arrays: SharedArrays) -> object:
        try:
            return train(instruction, arrays)
        finally:
            reached.append(instruction)

    monkeypatch.setattr(desk.agent, "train", noted)
    return reached


def test_a_call_that_is_cancelled_cancels_nothing_and_the_next_one_joins(
    open_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(open_desk.merchant.rounds, "train", gate)
    arrays = open_desk.start()
    asked = signed(open_desk.federation, arrays)
    with grpc.insecure_channel(target(open_desk.socket), options=CHANNEL_OPTIONS) as channel:
        call = MerchantStub(channel).Train(wire.questions(asked, arrays))
        assert gate.begun.wait(10)
        call.cancel()
    assert open_desk.agent.status()["at_work"]["round"] == 1
    asked_for = counted(open_desk, monkeypatch)
    answers: list[SharedArrays] = []
    callers = [
        threading.Thread(target=lambda: answers.append(open_desk.stub.train(asked, arrays).arrays))
        for _ in range(2)
    ]
    for caller in callers:
        caller.start()
    eventually(lambda: len(asked_for) == 2, what="two calls that joined")
    with pytest.raises(Refused) as refused:
        open_desk.train(round=2)
    assert refused.value.code == Refusal.BUSY
    gate.go_on.set()
    for caller in callers:
        caller.join(20)
    assert gate.times == 1
    assert same(*answers)
    assert [line["event"] for line in open_desk.journal] == ["refused", "trained"]


def test_a_caller_that_is_gone_holds_no_thread_of_the_agent(
    open_desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(open_desk.merchant.rounds, "train", gate)
    arrays = open_desk.start()
    asked = signed(open_desk.federation, arrays)
    for _ in range(20):  # more than calls at once
        with grpc.insecure_channel(target(open_desk.socket), options=CHANNEL_OPTIONS) as channel:
            call = MerchantStub(channel).Train(wire.questions(asked, arrays))
            assert gate.begun.wait(10)
            call.cancel()
    eventually(lambda: describes(open_desk), what="an agent that answers")
    gate.go_on.set()


def describes(desk: Desk) -> bool:
    try:
        return desk.stub.describe().name == "acme"
    except Refused:
        return False


def test_a_merchant_that_is_opened_again_answers_what_is_stored(tmp_path: Path) -> None:
    path, agreement = shops.write(tmp_path, agreement=contract())
    with desk(shops.opened(path, agreement)) as first:
        answer = first.train()
    with desk(shops.opened(path, agreement, seed=99)) as second:
        assert same(second.train(), answer)
        assert [line["event"] for line in second.journal] == ["trained", "repeated"]


def test_sixty_megabytes_go_up_and_down(tmp_path: Path) -> None:
    wide = {"colour": {"kind": "categorical", "buckets": 2**20, "width": 14}}  # 14.7 million numbers
    agreement = shops.contract(
        federation=contract()["federation"], features=wide, bottom={"architecture": "shared_bottom"}
    )
    with desk(shops.merchant(tmp_path, agreement=agreement)) as opened:
        arrays = opened.start()
        assert sum(array.nbytes for array in arrays.values()) > 58_000_000
        answer = opened.train(arrays)
    assert answer.keys() == arrays.keys()
    assert not same(answer, arrays)
