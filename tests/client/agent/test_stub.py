"""The stub waits a little, joins again once, and needs no heavy library."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from client.agent import agent_pb2, wire
from client.agent.addresses import target
from client.agent.agent_pb2_grpc import MerchantServicer, add_MerchantServicer_to_server
from client.agent.stub import AgentStub, owner_status
from shared_model.errors import Refused
from shared_model.protocol import Instruction, Refusal

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {
    "torch",
    "polars",
    "opacus",
    "pydantic",
    "cryptography",
    "scipy",
    "sqlalchemy",
    "flwr",
    "safetensors",
}
ROUND = Instruction(fingerprint="agreed", lineage="spring", round=1, digest="d", merchant="acme")
ARRAYS = {"weight": np.ones(3, np.float32)}
Train = Callable[[Iterator[Any], Any], Iterator[agent_pb2.Answer]]


class Peer(MerchantServicer):  # type: ignore[misc]
    """Does as it is told in the place of an agent."""

    def __init__(self, train: Train) -> None:
        self.train, self.calls = train, 0

    def Train(self, request_iterator: Any, context: Any) -> Iterator[agent_pb2.Answer]:
        self.calls += 1
        yield from self.train(request_iterator, context)

    def Describe(self, request: Any, context: Any) -> agent_pb2.Description:
        return agent_pb2.Description(name="acme")


@contextmanager
def listening(socket: Path, train: Train) -> Iterator[Peer]:
    server, peer = grpc.server(ThreadPoolExecutor(2)), Peer(train)
    add_MerchantServicer_to_server(peer, server)
    server.add_insecure_port(target(socket))
    server.start()
    try:
        yield peer
    finally:
        server.stop(None).wait()


def echo(questions: Iterator[Any], context: Any) -> Iterator[agent_pb2.Answer]:
    next(questions)
    yield told()
    for chunk in wire.chunks_in(questions):
        yield agent_pb2.Answer(chunk=chunk)


def told(**facts: Any) -> agent_pb2.Answer:
    return agent_pb2.Answer(told=agent_pb2.Told(**facts))


def code(call: Callable[[], object]) -> int:
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.code


def test_it_loads_no_heavy_library() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import client.agent.stub, sys; print(*{m.split('.')[0] for m in sys.modules})",
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert HEAVY & set(loaded.stdout.split()) == set()


def test_nobody_at_the_socket_is_a_code(tmp_path: Path) -> None:
    stub = AgentStub(tmp_path / "agent.sock", patience_seconds=0.1)
    assert code(stub.describe) == Refusal.UNREACHABLE
    assert code(lambda: stub.train(ROUND, ARRAYS)) == Refusal.UNREACHABLE
    assert code(lambda: stub.adopt(ROUND, ARRAYS)) == Refusal.UNREACHABLE


def test_nobody_at_the_owners_socket_is_none(tmp_path: Path) -> None:
    assert owner_status(tmp_path, patience_seconds=0.1) is None


def test_an_agent_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    socket, answers = tmp_path / "agent.sock", []
    stub = AgentStub(socket, patience_seconds=20)
    caller = threading.Thread(target=lambda: answers.append(stub.train(ROUND, ARRAYS)))
    caller.start()
    with listening(socket, echo):
        caller.join(20)
    assert np.array_equal(answers[0].arrays["weight"], ARRAYS["weight"])


def test_a_call_whose_connection_breaks_is_made_again(tmp_path: Path) -> None:
    def first_breaks(questions: Iterator[Any], context: Any) -> Iterator[agent_pb2.Answer]:
        if peer.calls == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        yield from echo(questions, context)

    with listening(tmp_path / "agent.sock", first_breaks) as peer:
        answer = AgentStub(tmp_path / "agent.sock").train(ROUND, ARRAYS)
    assert np.array_equal(answer.arrays["weight"], ARRAYS["weight"])
    assert peer.calls == 2


def test_one_that_breaks_again_and_again_is_given_up(tmp_path: Path) -> None:
    def breaks(questions: Iterator[Any], context: Any) -> Iterator[agent_pb2.Answer]:
        context.abort(grpc.StatusCode.UNAVAILABLE, "shopper-4711")
        yield agent_pb2.Answer()

    with listening(tmp_path / "agent.sock", breaks) as peer:
        stub = AgentStub(tmp_path / "agent.sock", patience_seconds=0.2)
        assert code(lambda: stub.train(ROUND, ARRAYS)) == Refusal.UNREACHABLE
    assert 1 < peer.calls < 20


@pytest.mark.parametrize("refusal", Refusal)
def test_a_code_comes_back_as_it_was_given_and_nothing_is_tried_again(
    tmp_path: Path, refusal: Refusal
) -> None:
    def refuses(questions: Iterator[Any], context: Any) -> Iterator[agent_pb2.Answer]:
        context.abort(grpc.StatusCode.ABORTED, str(int(refusal)))
        yield agent_pb2.Answer()

    with listening(tmp_path / "agent.sock", refuses) as peer:
        assert code(lambda: AgentStub(tmp_path / "agent.sock").train(ROUND, ARRAYS)) == refusal
    assert peer.calls == 1


@pytest.mark.parametrize("size", [8, 16])
def test_an_answer_of_another_size_than_the_question_is_refused(tmp_path: Path, size: int) -> None:
    def answers(questions: Iterator[Any], context: Any) -> Iterator[agent_pb2.Answer]:
        yield told()
        yield agent_pb2.Answer(chunk=b"x" * size)

    with listening(tmp_path / "agent.sock", answers):
        assert code(lambda: AgentStub(tmp_path / "agent.sock").train(ROUND, ARRAYS)) == Refusal.ARRAYS


def test_an_answer_that_does_not_begin_with_what_is_told_is_refused(tmp_path: Path) -> None:
    def answers(questions: Iterator[Any], context: Any) -> Iterator[agent_pb2.Answer]:
        yield agent_pb2.Answer(chunk=ARRAYS["weight"].tobytes())

    with listening(tmp_path / "agent.sock", answers):
        assert code(lambda: AgentStub(tmp_path / "agent.sock").train(ROUND, ARRAYS)) == Refusal.ARRAYS
