"""The two gRPC services: they read questions off the wire, ask the agent and write answers.

Guarantees (`tests/client/agent/test_service.py`):
    * What goes wrong leaves as one of the fixed codes of `shared_model.protocol.Refusal`, never as text.
    * Work is never done in the thread of a call; a call that is cancelled cancels nothing.
    * Nothing is received, beyond one message of gRPC, from a caller without a signed instruction.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import grpc

from shared_model.errors import Refused
from shared_model.protocol import Instruction, Kind, Refusal, SharedArrays, digest

from . import agent_pb2, codes, guard, wire
from .agent_pb2_grpc import (
    MerchantServicer,
    OwnerServicer,
    add_MerchantServicer_to_server,
    add_OwnerServicer_to_server,
)
from .sockets import bind
from .work import Agent

_log = logging.getLogger(__name__)

_CALLS = 8
"""At once, on the node's socket; each may hold one buffer of the contract's size once its caller has shown a
signed instruction. More are told to come again."""
_RECEIVE_SECONDS = 120.0
"""A question must have arrived in full by then; a local caller needs a second."""

T = TypeVar("T")


@contextmanager
def serving(agent: Agent, *, node: Path, group: str, owner: Path) -> Iterator[None]:
    """Answer on both sockets for the length of the block.

    Args:
        agent: Does the work.
        node: Socket of the `Merchant` service.
        group: Of users who may connect to it; empty for the own user only.
        owner: Socket of the `Owner` service, for the own user only.

    Raises:
        ConfigError: A socket cannot be made there, or not for that group.
        StateError: Somebody else listens at one of them.
    """
    servers = [_server(_CALLS), _server(2)]
    add_MerchantServicer_to_server(_Merchant(agent), servers[0])
    add_OwnerServicer_to_server(_Owner(agent), servers[1])
    try:
        bind(servers[0], node, group=group)
        bind(servers[1], owner)
        for server in servers:
            server.start()
        yield
    finally:
        for stopped in [server.stop(grace=None) for server in servers]:
            stopped.wait()


def _server(calls: int) -> Any:
    options = [("grpc.max_receive_message_length", 4 * wire.CHUNK_BYTES), ("grpc.so_reuseport", 0)]
    pool = ThreadPoolExecutor(calls, thread_name_prefix="call")
    return grpc.server(pool, options=options, maximum_concurrent_rpcs=calls)


class _Merchant(MerchantServicer):
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def Describe(self, request: Any, context: Any) -> agent_pb2.Description:  # noqa: N802
        with _coded(context):
            facts = self._agent.described
            return agent_pb2.Description(
                name=facts.name, tier=facts.tier, tasks=sorted(facts.tasks), role=facts.role
            )

    def Train(self, request_iterator: Any, context: Any) -> Iterator[agent_pb2.Answer]:  # noqa: N802
        with _coded(context):
            answer = _done(self._agent, "train", request_iterator, context, self._agent.train)
            if answer is not None:
                yield from wire.answers(answer)

    def Adopt(self, request_iterator: Any, context: Any) -> agent_pb2.Nothing:  # noqa: N802
        with _coded(context):
            _done(self._agent, "adopt", request_iterator, context, self._agent.adopt)
        return agent_pb2.Nothing()


class _Owner(OwnerServicer):
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def Status(self, request: Any, context: Any) -> agent_pb2.StatusReport:  # noqa: N802
        with _coded(context):
            return agent_pb2.StatusReport(json=json.dumps(self._agent.status()))

    def Adopt(self, request_iterator: Any, context: Any) -> agent_pb2.Nothing:  # noqa: N802
        with _coded(context):
            _done(self._agent, "adopt", request_iterator, context, self._agent.adopt_for_owner)
        return agent_pb2.Nothing()


def _done(
    agent: Agent,
    kind: Kind,
    questions: Iterator[agent_pb2.Question],
    context: Any,
    ask: Callable[[Instruction, SharedArrays], "Future[T]"],
) -> T | None:
    """Return the answer to a question, or None once nobody waits for it."""
    terms, known = agent.terms, None
    try:
        with _time_limit(context):
            instruction = wire.instruction_in(next(questions, None))
            guard.check(instruction, kind, terms)
            known = instruction
            arrays = wire.received(wire.chunks_in(questions), terms.layout(kind, instruction.round))
        if digest(arrays) != instruction.digest:
            raise Refused(Refusal.ARRAYS, "the arrays are not those that the instruction names")
        answer = ask(instruction, arrays)
    except Exception as error:
        if not context.is_active():  # whoever asked is gone
            return None
        raise Refused(agent.record.refuse(kind, error, known), "see the journal") from None
    return _awaited(answer, context)


@contextmanager
def _coded(context: Any) -> Iterator[None]:
    """Let nothing but a code out of the block."""
    try:
        yield
        return
    except Exception as error:
        code = codes.code_of(error)
        if not isinstance(error, Refused):
            _log.exception("a call failed")
    context.abort(grpc.StatusCode.ABORTED, codes.written(code))


@contextmanager
def _time_limit(context: Any) -> Iterator[None]:
    """Cancel the call unless the block ends in time."""
    timer = threading.Timer(_RECEIVE_SECONDS, context.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _awaited(answer: "Future[T]", context: Any) -> T | None:
    """Return the answer, or None as soon as whoever asked is gone; the work goes on."""
    ended = threading.Event()
    answer.add_done_callback(lambda _: ended.set())
    if not context.add_callback(ended.set):
        return None
    ended.wait()
    return answer.result() if answer.done() else None
