"""A merchant that is not enrolled yet, and one that is enrolled under another name than its own."""

import shutil
from collections.abc import Iterator

import pytest

from shared_model.errors import StateError
from tests.deployment.town import TIER, TOLERANCE, Shop, Town, accepted, difference

pytestmark = pytest.mark.deploy


@pytest.fixture
def newcomer(town: Town) -> Iterator[Shop]:
    """The shop of `taylor`, invited and started, not enrolled."""
    shop = town.shop("taylor")
    shutil.copytree(
        town.site.merchants[town.names[0]].parent, shop.folder, ignore=shutil.ignore_patterns("state")
    )
    file = shop.folder / "merchant.toml"
    file.write_text(file.read_text().replace(f'name = "{town.names[0]}"', 'name = "taylor"'))
    town.deployment.invite("taylor")
    town.start("taylor")
    yield shop
    town.deployment.stop("taylor")


def test_a_newcomer_waits_to_be_enrolled_and_is_told_when_its_name_is_another(
    town: Town, newcomer: Shop
) -> None:
    process = town.deployment.processes["taylor"]
    town.wait_said("taylor", "its public key (node.pub) is not enrolled")
    key = newcomer.folder / "keys" / "node.pub"
    with pytest.raises(StateError, match="a name that is not taken"):
        enroll(town, key, town.names[0])
    enroll(town, key, "tailor")
    town.wait_connected("taylor")
    assert process.poll() is None

    town.ended(town.run("--wait-members", "4"))
    refused = [(e["merchant"], e["reason"]) for e in town.events("reply_refused")]
    assert refused == [("tailor", "RECIPIENT")] * 3
    assert accepted(town.journal) == town.everybody_in(1, 2, 3)
    assert difference(town.released, town.simulated()) <= TOLERANCE
    said = town.deployment.call("fedbazaar-client", "status", newcomer.folder)
    assert "RECIPIENT" in said
    assert "is enrolled as tailor" in " ".join(newcomer.refusals()[0]["reason"].split())
    town.deployment.call("fedbazaar-server", "withdraw", town.deployment.market, "tailor")


def enroll(town: Town, key: object, name: str) -> None:
    town.deployment.call(
        "fedbazaar-server", "enroll", town.deployment.market, str(key), "--name", name, "--tier", TIER
    )
