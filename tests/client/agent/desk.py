"""A coordinator's desk: an agent on a real socket, a key that signs, and questions of every kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from client.agent.addresses import owner_socket
from client.agent.program import agent_of
from client.agent.record import Record, journal_file
from client.agent.service import serving
from client.agent.stub import AgentStub
from client.agent.work import Agent
from client.merchant import Merchant
from shared_model import precision, signing
from shared_model.precision import PRECISIONS
from shared_model.protocol import Instruction, SharedArrays
from shared_model.schema import Federation
from tests.client import shops
from tests.client.waiting import eventually

KEY = signing.new_key()
OTHER_KEY = signing.new_key()


def contract(**agreed: Any) -> dict[str, Any]:
    """A contract that the desk's key signs for."""
    return shops.contract(federation={"coordinator_key": signing.public_key(KEY), **agreed})


def signed(federation: Federation, arrays: SharedArrays, **changes: Any) -> Instruction:
    """A round for acme, signed after the changes."""
    asked = shops.instruction(federation, arrays, **{"merchant": "acme", **changes})
    return signing.signed(asked, signing.read_key(KEY))


def offered(federation: Federation, arrays: SharedArrays, **changes: Any) -> Instruction:
    """A release for everybody, signed after the changes."""
    return signing.signed(shops.offer(federation, arrays, **changes), signing.read_key(KEY))


def forged(instruction: Instruction, **changes: Any) -> Instruction:
    """The instruction with other fields under the same signature."""
    return replace(instruction, **changes)


@dataclass(frozen=True)
class Desk:
    """An agent that listens."""

    merchant: Merchant
    agent: Agent
    stub: AgentStub
    socket: Path

    @property
    def federation(self) -> Federation:
        return self.merchant.federation

    @property
    def journal(self) -> list[dict[str, Any]]:
        return self.agent.record.lines()

    def start(self, seed: int = 0) -> SharedArrays:
        """The shared parameters that a round begins with, as they travel."""
        agreed = PRECISIONS[self.federation.federation.precision]
        return precision.rounded(shops.start(self.federation, seed), agreed)

    def train(self, arrays: SharedArrays | None = None, **changes: Any) -> SharedArrays:
        """Ask for a round, signed."""
        sent = self.start() if arrays is None else arrays
        return self.stub.train(signed(self.federation, sent, **changes), sent).arrays

    def adopt(self, arrays: SharedArrays | None = None, **changes: Any) -> None:
        """Offer a release, signed, and wait until heads are fitted to it."""
        sent = shops.start(self.federation) if arrays is None else arrays
        self.stub.adopt(offered(self.federation, sent, **changes), sent)
        eventually(lambda: self.agent.status()["at_work"] is None, what="the end of a fit")


@contextmanager
def desk(merchant: Merchant, *, clock: Any = None) -> Iterator[Desk]:
    """Serve a merchant on real sockets for the length of the block."""
    state = merchant.config.state
    state.mkdir(parents=True, exist_ok=True)
    socket = state.parent / "agent.sock"
    record = Record(journal_file(state))
    agent = agent_of(merchant, record, **({"clock": clock} if clock else {}))
    try:
        with serving(agent, node=socket, group="", owner=owner_socket(state)):
            yield Desk(merchant, agent, AgentStub(socket), socket)
    finally:
        agent.close()
        record.close()
