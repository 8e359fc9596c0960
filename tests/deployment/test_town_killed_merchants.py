"""Whatever of a merchant is killed in the middle of a round, it answers that round, once, and is back."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from simulations.local_deployment import wait_until
from tests.deployment.conftest import Killed
from tests.deployment.town import (
    TOLERANCE,
    Town,
    accepted,
    below,
    gone,
    kill,
    wait_at_work,
)

pytestmark = [pytest.mark.deploy, pytest.mark.chaos]

ONCE = {1: 1, 2: 1, 3: 1}


def test_with_a_node_a_bridge_and_an_agent_killed_every_round_has_everybody(
    town: Town, killed: Killed
) -> None:
    assert accepted(killed.events) == town.everybody_in(1, 2, 3)


def test_nobody_trained_a_round_twice(town: Town, killed: Killed) -> None:
    assert [shop.trained(killed.lineage) for shop in town.shops] == [ONCE, ONCE, ONCE]


def test_the_released_model_is_that_of_an_undisturbed_training(killed: Killed) -> None:
    assert killed.difference <= TOLERANCE


def test_the_screens_say_what_was_killed_and_that_it_is_back(town: Town, killed: Killed) -> None:
    victims = dict(zip(town.names, ("node   ", "bridge ", "agent  "), strict=True))
    for name, process in victims.items():
        _, killed_it, after = town.deployment.output(name).partition(f"{process} ended: killed by SIGKILL")
        assert killed_it
        assert f"{process} ready" in after


@contextmanager
def using_flowers_own_way(town: Town, name: str) -> Iterator[None]:
    """Let a merchant's node start Flower's own processes for the length of the block."""
    file = town.shop(name).folder / "merchant.toml"
    text = file.read_text()
    for written in (f'{text}executor = "clientapp"\n', text):
        times = town.deployment.output(name).count("node    ready")
        town.deployment.stop(name)
        file.write_text(written)
        town.start(name)
        town.wait_connected(name, times=times + 1)
        if written != text:
            yield


def test_a_killed_clientapp_is_asked_again_and_trained_once(town: Town) -> None:
    shop = town.shops[2]
    with using_flowers_own_way(town, shop.name):
        before = town.directory.name
        run = town.run()
        town.wait_opened(1, before=before)
        wait_at_work(shop)
        (clientapp,) = below(shop.process("node"), "flwr-clientapp")[:1]
        kill(clientapp)
        town.ended(run, 600)
        left = shop.process("node").children(recursive=True)
    assert accepted(town.journal) == town.everybody_in(1, 2, 3)
    assert shop.trained(town.directory.name) == ONCE
    wait_until(gone(left), 30, "the end of all that the node had started")
