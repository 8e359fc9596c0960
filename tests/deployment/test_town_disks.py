"""A full disk costs what needed it, and nothing that was there before."""

import pytest

from server import checkpoint
from simulations.local_deployment import wait_until
from tests.deployment.conftest import Disks
from tests.deployment.town import TOLERANCE, Town, accepted, difference

pytestmark = [pytest.mark.deploy, pytest.mark.chaos]


def test_a_merchant_without_room_says_so_and_answers_once_there_is_some(town: Town, disks: Disks) -> None:
    victim, before = town.shops[1], town.directory.name
    disks.state.fill()
    run = town.run()
    town.wait_event("reply_refused", lineage=before, round=1, merchant=victim.name, reason="FAILED")
    assert "No space left on device" in victim.log("agent")
    agent = victim.process("agent").pid
    disks.state.free()
    town.ended(run)
    everybody = list(town.names)
    others = [name for name in everybody if name != victim.name]
    assert accepted(town.journal) == {1: others, 2: everybody, 3: everybody}
    assert victim.trained(town.directory.name) == {2: 1, 3: 1}
    assert victim.process("agent").pid == agent


def test_a_coordinator_without_room_stops_and_resumes_once_there_is_some(town: Town, disks: Disks) -> None:
    before = town.directory.name
    run = town.run()
    town.wait_opened(2, before=before)
    disks.runs.fill()
    assert run.wait(240) == 1
    said = town.deployment.said(run)
    assert "No space left on device. `fedbazaar-server resume" in said
    found = checkpoint.latest(town.directory)
    assert found is not None
    assert found.progress.round == 1

    disks.runs.free()
    wait_until(lambda: town.deployment.status()["superlink"] == "up", 60, "the SuperLink")
    town.ended(town.run(command="resume"))
    rounds = (1, 2, 3)
    closed = {event["round"]: event["accepted"] for event in town.events("round_closed")}
    assert closed == town.everybody_in(*rounds)  # one of them twice, where the disk took that line alone
    assert [shop.trained(town.directory.name) for shop in town.shops] == [dict.fromkeys(rounds, 1)] * 3
    assert difference(town.released, town.simulated()) <= TOLERANCE
