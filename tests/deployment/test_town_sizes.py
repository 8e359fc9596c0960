"""What is far larger than the contract costs a refusal and no memory; at the door see `test_door.py`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from client.agent import agent_pb2, codes, wire
from client.agent.addresses import CHANNEL_OPTIONS, target
from client.agent.agent_pb2_grpc import MerchantStub
from client.connection import load_deployed
from client.up import node_children
from shared_model import signing
from shared_model.model import initial_shared
from shared_model.protocol import Instruction, Refusal, SharedArrays, digest
from shared_model.schema import load_federation
from simulations.local_deployment import wait_until
from tests.deployment.town import TOLERANCE, Shop, Town, accepted, difference

pytestmark = pytest.mark.deploy

MEGABYTE = 2**20
TOO_MANY = 2048
"""Megabytes."""
ALLOWED = 64 * MEGABYTE
"""How much a process may grow that refuses two gigabytes; the contract has less than a kilobyte."""


class Sender:
    """Sends two gigabytes after the first words of a question, and counts what was taken."""

    def __init__(self, first: list[agent_pb2.Question]) -> None:
        self.first, self.sent = first, 0

    def __iter__(self) -> Iterator[agent_pb2.Question]:
        yield from self.first
        chunk = agent_pb2.Question(chunk=bytes(MEGABYTE))
        while self.sent < TOO_MANY:
            self.sent += 1
            yield chunk


def refused(shop: Shop, questions: Sender) -> Refusal | None:
    with grpc.insecure_channel(target(shop.socket), options=CHANNEL_OPTIONS) as channel:
        with pytest.raises(grpc.RpcError) as error:
            list(MerchantStub(channel).Train(iter(questions), timeout=60))
        return codes.read(error.value.details())


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
def test_two_gigabytes_to_an_agent_are_refused_before_they_are_taken(town: Town, is_signed: bool) -> None:
    shop = town.shops[0]
    asked, arrays = question(town, shop.name)
    first = list(wire.questions(asked, arrays)) if is_signed else []
    sender, agent = Sender(first), shop.process("agent")
    before = agent.memory_info().rss
    assert refused(shop, sender) == (Refusal.ARRAYS if is_signed else Refusal.SIGNATURE)
    assert sender.sent < TOO_MANY / 16
    assert agent.memory_info().rss - before < ALLOWED


def question(town: Town, name: str) -> tuple[Instruction, SharedArrays]:
    """A round as the coordinator would ask for it."""
    federation = load_federation(town.deployment.market / "federation.toml")
    arrays = initial_shared(federation, 0)
    asked = Instruction(
        fingerprint=federation.fingerprint, lineage="too-large", round=1, digest=digest(arrays), merchant=name
    )
    key = signing.read_key((town.deployment.market / "keys" / "signing.key").read_bytes())
    return signing.signed(asked, key), arrays


_SWOLLEN = """
import numpy as np
import client.app
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

client.app.app = app = ClientApp()


@app.train()
def train(message, context):
    asked = message.content["instruction"]
    name = min(message.content["arrays"])
    drawn = np.random.default_rng(asked["round"]).random(MEGABYTES * 2**18, np.float32)
    arrays = ArrayRecord({name: Array(drawn)})
    report = ConfigRecord({"ledger": "", **{key: asked[key] for key in ("version", "lineage", "round")}})
    return Message(RecordDict({"arrays": arrays, "report": report}), reply_to=message)


from client.bridge import main
main()
"""
REPLY = 32
"""Megabytes of a reply to a contract of less than a kilobyte."""


@contextmanager
def swollen(town: Town, shop: Shop) -> Iterator[None]:
    """Let a merchant answer with far too much, in the place of its own bridge and agent."""
    times = town.deployment.output(shop.name).count("node    ready")
    town.deployment.stop(shop.name)
    bridge, node = node_children(load_deployed(shop.folder))
    after = list(bridge.command).index("--runtime")
    script = _SWOLLEN.replace("MEGABYTES", str(REPLY))
    log = shop.state / "logs" / "swollen.log"
    with log.open("wb") as output:
        started = [
            subprocess.Popen(
                [str(word) for word in command], env=dict(node.environment), stdout=output, stderr=output
            )
            for command in (node.command, [sys.executable, "-P", "-c", script, *bridge.command[after:]])
        ]
    try:
        wait_until(lambda: "SuperNode ID" in log.read_text(), 90, "a swollen merchant's node")
        yield
    finally:
        for process in started:
            process.terminate()
            process.wait(30)
        town.start(shop.name)
        town.wait_connected(shop.name, times=times + 1)


def test_a_reply_far_larger_than_the_contract_is_named_and_the_others_go_on(town: Town) -> None:
    victim = town.shops[2]
    with swollen(town, victim):
        town.ended(town.run())
    names = [name for name in town.names if name != victim.name]
    assert accepted(town.journal) == {1: names, 2: names, 3: names}
    refusals = town.events("reply_refused")
    assert [(e["round"], e["merchant"]) for e in refusals] == [(n, victim.name) for n in (1, 2, 3)]
    assert all(str((REPLY * 2**18,)) in e["reason"] for e in refusals)
    assert difference(town.released, town.simulated(receivers=(victim.name,))) <= TOLERANCE
