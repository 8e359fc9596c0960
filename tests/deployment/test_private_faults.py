"""A private training with an agent that is killed and a merchant back from an old copy: nothing is free."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.agent.commands import status
from server import checkpoint
from shared_model.errors import StateError
from shared_model.privacy.accounting import epsilon
from shared_model.privacy.ledger import read_charges
from simulations.audit import signed
from simulations.local_deployment import wait_until
from tests.deployment.town import Shop, Town, accepted, below, kill, town_of
from tests.integration import experiments

pytestmark = [pytest.mark.deploy, pytest.mark.chaos]

STAYS, KILLED, RESTORED = "synthetic-01", "synthetic-02", "synthetic-03"
ROUNDS, STEPS = 3, 400
"""A round trains for seconds, so that an agent can be killed after its charge and before its answer."""


def wait_charged(shop: Shop, number: int) -> None:
    """Wait until a round is in the ledger, which is before it is trained."""
    wait_until(
        lambda: shop.ledger.exists() and ("round", number) in shop.charges, 180, f"{shop.name}'s charge"
    )


def restore_first_day(shop: Shop) -> None:
    """Put back what a backup from before the first round holds: no ledger, no answer, no statistics."""
    shutil.rmtree(shop.ledger.parent)
    for folder in ("rounds", "statistics"):
        shutil.rmtree(shop.state / folder, ignore_errors=True)


@dataclass(frozen=True)
class Told:
    """What was seen on the way.

    Attributes:
        left: Rounds that the killed agent had answered when it died.
        heads: In the checkpoint after round 1.
    """

    left: dict[int, int]
    heads: dict[str, str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, Told]]:
    """In round 1 an agent is killed after its charge; then another merchant is restored, and all go on."""
    agreed = experiments.private_contract(rounds=ROUNDS, local_steps=STEPS)
    agreed["federation"] |= {"quorum": 0.3, "deadline_seconds": 240.0}
    made = town_of(tmp_path_factory.mktemp("faults"), agreed, merchants=3)
    with made.deployment as deployment:
        deployment.begin(made.site.contract, proxy="embedded")
        made.invite()
        made.open()
        run = made.run()
        victim = made.shop(KILLED)
        wait_charged(victim, 1)
        kill(victim.process("agent"))
        left = victim.trained(made.directory.name)
        made.wait_event("round_closed", round=1, seconds=240)
        kill(below(made.superlink(), "flwr-serverapp")[0])
        assert run.wait(240) == 1
        found = checkpoint.latest(made.directory)
        assert found is not None
        deployment.stop(RESTORED)
        restore_first_day(made.shop(RESTORED))
        made.start(RESTORED)
        made.wait_connected(RESTORED, times=2)
        made.ended(made.run(command="resume"), 400)
        yield made, Told(left, dict(found.progress.ledgers))


def test_the_agent_was_killed_after_its_charge_and_before_its_answer(story: tuple[Town, Told]) -> None:
    assert story[1].left == {}


def test_the_interrupted_round_is_charged_again_and_answered(story: tuple[Town, Told]) -> None:
    town = story[0]
    assert town.shop(KILLED).charges == [("statistics", 0), ("round", 1), ("round", 1), ("round", 2)]
    assert KILLED in accepted(town.journal)[1]


def test_what_it_paid_twice_is_missing_for_its_last_round(story: tuple[Town, Told]) -> None:
    town = story[0]
    refused = [(e["round"], e["reason"]) for e in town.events("reply_refused") if e["merchant"] == KILLED]
    assert refused == [(3, "BUDGET")]
    events = [event for charge in read_charges(town.shop(KILLED).ledger) for event in charge.events]
    assert epsilon(events, 1e-6) <= 8.0


def test_the_coordinator_had_the_heads_of_all_ledgers(story: tuple[Town, Told]) -> None:
    assert story[1].heads.keys() == {STAYS, KILLED, RESTORED}


def test_a_restored_ledger_is_refused_by_its_own_agent_in_every_round(story: tuple[Town, Told]) -> None:
    town = story[0]
    refused = [(e["round"], e["reason"]) for e in town.events("reply_refused") if e["merchant"] == RESTORED]
    assert refused == [(2, "LEDGER"), (3, "LEDGER")]
    assert town.shop(RESTORED).charges == []
    assert "it is an old copy" in status(town.shop(RESTORED).folder)["refusals"][-1]["reason"]


def test_the_rounds_go_on_with_whoever_is_left(story: tuple[Town, Told]) -> None:
    everybody = [STAYS, KILLED, RESTORED]
    assert accepted(story[0].journal) == {1: everybody, 2: [STAYS, KILLED], 3: [STAYS]}
    assert story[0].shop(STAYS).charges == [("statistics", 0), ("round", 1), ("round", 2), ("round", 3)]


def test_an_audit_finds_the_answer_whose_charge_is_gone(story: tuple[Town, Told], tmp_path: Path) -> None:
    with pytest.raises(StateError):
        story[0].deployment.call("fedbazaar-audit", "run", story[0].deployment.folder, "--out", tmp_path)
    report = signed.read(tmp_path / "run.json")
    against = [f["name"] for part in report["sections"] for f in part["findings"] if f["verdict"] != "holds"]
    assert against == ["replies.charged"]
