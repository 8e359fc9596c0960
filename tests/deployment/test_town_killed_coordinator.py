"""A coordinator that is killed in the middle of a round goes on where it was: no round twice, none lost."""

from collections.abc import Callable

import psutil
import pytest

from simulations.local_deployment import wait_until
from tests.deployment.town import TOLERANCE, Town, accepted, below, difference, kill, wait_at_work

pytestmark = [pytest.mark.deploy, pytest.mark.chaos]

ROUNDS = (1, 2, 3)


def serverapp(town: Town) -> psutil.Process:
    return below(town.superlink(), "flwr-serverapp")[0]


@pytest.mark.parametrize(
    ("victim", "number"),
    [(serverapp, 1), (Town.superlink, 2)],
    ids=["ServerApp", "SuperLink"],
)
def test_resume_goes_on_with_the_round_that_was_open(
    town: Town, victim: Callable[[Town], psutil.Process], number: int
) -> None:
    before = town.directory.name
    run = town.run()
    town.wait_opened(number, before=before)
    lineage = town.directory.name
    wait_at_work(*town.shops)
    kill(victim(town))
    assert run.wait(240) == 1
    said = town.deployment.said(run)
    assert f"The run stopped after round {number - 1} of 3." in said
    assert "`fedbazaar-server resume" in said

    wait_until(lambda: all(number in shop.trained(lineage) for shop in town.shops), 90, "merchants' answers")
    wait_until(lambda: town.deployment.status()["superlink"] == "up", 90, "the SuperLink")
    said = town.ended(town.run(command="resume"))
    assert town.directory.name == lineage
    assert [e["round"] for e in town.events("resumed")] == [number - 1]
    assert accepted(town.journal) == town.everybody_in(*ROUNDS)
    assert [shop.trained(lineage) for shop in town.shops] == [dict.fromkeys(ROUNDS, 1)] * 3
    assert difference(town.released, town.simulated()) <= TOLERANCE
    assert "released: 3 adopted" in said
