"""The other end of the agent's sockets.

`AgentStub` has the methods of a merchant (`client.reach.ReachableMerchant`): the bridge and the thin
ClientApp talk to it as they would to a `Merchant`. This module imports grpc and numpy, and none of torch,
polars, opacus, pydantic or cryptography (`tests/client/agent/test_stub.py`).
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from shared_model.errors import Refused
from shared_model.protocol import Answer, Instruction, Refusal, SharedArrays

from . import agent_pb2, codes, wire
from .addresses import CHANNEL_OPTIONS, listens, owner_socket, target
from .agent_pb2_grpc import MerchantStub, OwnerStub

_LONGEST_SECONDS = 12 * 3600.0
"""A question may wait so long for its answer: as long as Flower keeps a message. Deadlines of rounds are the
coordinator's business; the agent trains on whether or not somebody waits."""
_SHORT_SECONDS = 10.0
_LOOK_SECONDS = 0.05

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Described:
    """Public facts about the merchant behind the socket (`client.merchant.Description`)."""

    name: str
    tier: str
    tasks: frozenset[str]
    role: str


class AgentStub:
    """A merchant behind a socket.

    Every method raises `Refused`: with the code that the agent gave, or with `UNREACHABLE` where it does not
    answer. An agent that is just starting is waited for. A call whose connection breaks is made again, and
    joins the work that the first one began, or gets what is stored; one that breaks later than
    `patience_seconds` after the first time is given up.
    """

    def __init__(self, socket: Path, *, patience_seconds: float = 5.0) -> None:
        """Nothing is connected yet.

        Args:
            socket: Where the agent listens.
            patience_seconds: How long to wait for an agent that does not listen yet, or no longer.
        """
        self._socket, self._patience = socket, patience_seconds

    def describe(self) -> Described:
        """Return the merchant's public facts; the sign that the agent is ready."""
        facts = self._asked(lambda agent: agent.Describe(agent_pb2.Nothing(), timeout=_SHORT_SECONDS))
        return Described(name=facts.name, tier=facts.tier, tasks=frozenset(facts.tasks), role=facts.role)

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        """Train one round and return the answer; its arrays have the names, shapes and types of `arrays`."""
        expected = wire.layout_of(arrays)

        def train(agent: Any) -> Answer:
            answers = agent.Train(wire.questions(instruction, arrays), timeout=_LONGEST_SECONDS)
            return wire.answer_in(answers, expected)

        return self._asked(train)

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Take over released shared parameters; what comes of it stays at the merchant."""
        wire.layout_of(arrays)
        self._asked(lambda agent: agent.Adopt(wire.questions(instruction, arrays), timeout=_LONGEST_SECONDS))

    def _asked(self, call: Callable[[Any], T]) -> T:
        give_up = None
        while True:
            try:
                with _connected(self._socket, self._patience) as channel, _explained():
                    return call(MerchantStub(channel))
            except _ConnectionLost as lost:
                now = time.monotonic()
                if give_up is None:
                    give_up = now + self._patience
                if now >= give_up:
                    raise Refused(Refusal.UNREACHABLE, f"the agent at {self._socket} {lost}") from None
            time.sleep(_LOOK_SECONDS)  # a killed agent's socket lives on for a moment


def owner_status(state: Path, *, patience_seconds: float = 1.0) -> dict[str, Any] | None:
    """Return what the agent tells its owner (`client.agent.record`), or None where none answers.

    Args:
        state: The merchant's state folder, which only the owner may enter.
        patience_seconds: As with `AgentStub`.

    Raises:
        Refused: The agent answers that it cannot tell.
    """
    try:
        with _connected(owner_socket(state), patience_seconds) as channel, _explained():
            report = OwnerStub(channel).Status(agent_pb2.Nothing(), timeout=_SHORT_SECONDS)
    except (_ConnectionLost, Refused) as error:
        if isinstance(error, Refused) and error.code != Refusal.UNREACHABLE:
            raise
        return None
    told: dict[str, Any] = json.loads(report.json)
    return told


def owner_adopt(
    state: Path, instruction: Instruction, arrays: SharedArrays, *, patience_seconds: float = 1.0
) -> None:
    """Let the agent adopt a release because its owner says so (arguments as with `owner_status`).

    Raises:
        Refused: The agent does not take it, or does not answer.
    """
    wire.layout_of(arrays)
    try:
        with _connected(owner_socket(state), patience_seconds) as channel, _explained():
            OwnerStub(channel).Adopt(wire.questions(instruction, arrays), timeout=_LONGEST_SECONDS)
    except _ConnectionLost as lost:
        raise Refused(Refusal.UNREACHABLE, f"the agent of {state} {lost}") from None


class _ConnectionLost(Exception):
    """The call did not come to an end; says what happened to it."""


@contextmanager
def _connected(socket: Path, patience_seconds: float) -> Iterator[grpc.Channel]:
    end = time.monotonic() + patience_seconds
    while not listens(socket):
        if time.monotonic() >= end:
            raise Refused(
                Refusal.UNREACHABLE, f"no agent listens at {socket}, or this user may not connect to it"
            )
        time.sleep(_LOOK_SECONDS)
    with grpc.insecure_channel(target(socket), options=CHANNEL_OPTIONS) as channel:
        yield channel


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        status = error.code()
        code = codes.read(error.details())
        if code is not None:
            raise Refused(code, f"the agent answered {code.name}; its own log says why") from None
        if status == grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise Refused(Refusal.BUSY, "too many ask the agent at once") from None
        if status == grpc.StatusCode.DEADLINE_EXCEEDED:
            raise Refused(Refusal.UNREACHABLE, "the agent did not answer in time") from None
        raise _ConnectionLost(f"broke off ({status.name})") from None
