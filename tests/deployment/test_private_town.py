"""A private contract, deployed: what is charged, what travels, who stops, and what the commands say of it."""

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from server import checkpoint
from server.wire_record import RECORD
from shared_model import journal
from shared_model.errors import StateError
from shared_model.privacy.ledger import read_entries
from tests.deployment.town import Town, accepted, town_of
from tests.integration import experiments

pytestmark = pytest.mark.deploy

TRAINS, CAPPED, RECEIVES = "synthetic-01", "synthetic-02", "synthetic-03"
ROUNDS = 3
CAP = 7.0
"""Of three rounds that cost epsilon 8 with the statistics, two fit: they cost 6.5."""


def contract() -> dict[str, Any]:
    """Both layers and telemetry; a size class that only receives."""
    agreed = experiments.private_contract(
        rounds=ROUNDS,
        telemetry={},
        merchants={"epsilon": 20.0, "delta": 1e-5, "clipping_norm": 1.0},
    )
    receives = {"shoppers": 0, "weight": 1.0, "role": "receive"}
    return agreed | {"tiers": {**agreed["tiers"], "tiny": receives}}


def changed(file: Path, table: str, **lines: Any) -> None:
    """Write lines into a table of a merchant's file."""
    declared = tomllib.loads(file.read_text())
    file.write_text(tomli_w.dumps(declared | {table: {**declared.get(table, {}), **lines}}))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A finished training. Two merchants have the same rows; one of them has a cap, a third only receives."""
    made = town_of(tmp_path_factory.mktemp("private"), contract(), merchants=3)
    files = made.site.merchants
    for table in files[TRAINS].parent.glob("*.parquet"):
        shutil.copy(table, files[CAPPED].parent)
    changed(files[CAPPED], "privacy", max_epsilon=CAP)
    changed(files[RECEIVES], "merchant", tier="tiny")
    with made.deployment as deployment:
        deployment.begin(made.site.contract, proxy="embedded")
        made.invite({RECEIVES: "tiny"})
        made.open()
        made.ended(made.run(), 400)
        yield made


def replies(town: Town, number: int) -> dict[str, dict[str, Any]]:
    """Merchant -> what was recorded of its answer to a round."""
    lines = journal.read(town.directory / RECORD)
    found = [line for line in lines if (line["type"], line["round"]) == ("train", number)]
    return {line["merchant"]: line["records"] for line in found}


def said(town: Town, program: str, *arguments: str | Path) -> str:
    """What a command prints, on a wide screen and in one line."""
    return " ".join(town.deployment.call(program, *arguments).split())


def test_a_merchant_pays_for_the_statistics_once_and_for_every_round_once(town: Town) -> None:
    assert town.shop(TRAINS).charges == [("statistics", 0), ("round", 1), ("round", 2), ("round", 3)]


def test_one_with_a_cap_stops_by_itself_and_the_round_goes_on_without_it(town: Town) -> None:
    refused = [(e["merchant"], e["round"], e["reason"]) for e in town.events("reply_refused")]
    assert refused == [(CAPPED, 3, "BUDGET")]
    assert accepted(town.journal) == {1: [TRAINS, CAPPED], 2: [TRAINS, CAPPED], 3: [TRAINS]}
    assert town.shop(CAPPED).charges == [("statistics", 0), ("round", 1), ("round", 2)]


def test_one_that_receives_is_never_asked_spends_nothing_and_adopts_the_release(town: Town) -> None:
    assert all(RECEIVES not in event["asked"] for event in town.events("round_opened"))
    receiver = town.shop(RECEIVES)
    assert [event["event"] for event in receiver.events] == ["started", "received", "adopted"]
    assert not receiver.ledger.exists()


def test_everybody_gets_the_release(town: Town) -> None:
    [released] = town.events("released")
    assert released["members"] == dict.fromkeys(town.names, "adopted")


def test_merchants_with_the_same_rows_answer_differently(town: Town) -> None:
    first = replies(town, 1)
    assert first[TRAINS]["arrays"]["digest"] != first[CAPPED]["arrays"]["digest"]


def test_a_seed_for_the_noise_is_refused(town: Town) -> None:
    with pytest.raises(StateError, match="noise that can be repeated protects nobody"):
        town.deployment.call("fedbazaar-client", "up", town.shop(TRAINS).folder, "--seed", "1")


def test_the_coordinator_keeps_the_heads_of_the_ledgers_in_its_checkpoint_and_beside_it(town: Town) -> None:
    heads = {name: read_entries(town.shop(name).ledger)[-1].head for name in (TRAINS, CAPPED)}
    found = checkpoint.latest(town.directory)
    assert found is not None
    assert found.progress.ledgers == heads
    assert json.loads((town.directory.parent / "ledgers.json").read_text()) == heads


def test_telemetry_and_the_layer_that_protects_merchants_reach_the_journal(town: Town) -> None:
    closed = town.events("round_closed")
    assert all(event["telemetry"].keys() == closed[0]["telemetry"].keys() for event in closed)
    assert closed[0]["telemetry_std"] > 0
    assert [event["epsilon"] <= 20.0 for event in town.events("merchants_protected")] == [True] * ROUNDS


def test_the_merchants_command_says_that_all_is_spent(town: Town) -> None:
    told = said(town, "fedbazaar-client", "ledger", town.shop(TRAINS).folder)
    assert "epsilon 8.000 of 8. Nothing is left" in told
    capped = said(town, "fedbazaar-client", "ledger", town.shop(CAPPED).folder)
    assert f"this merchant's own cap is {CAP:g}" in capped
    assert "Nothing is left" in capped
    assert "There is no ledger" in said(town, "fedbazaar-client", "ledger", town.shop(RECEIVES).folder)


def test_nothing_outside_the_contract_left_a_merchant(town: Town) -> None:
    told = json.loads(town.deployment.call("fedbazaar-audit", "wire", town.directory, "--json"))
    assert [audit["findings"] for audit in told] == [[]]


def test_an_audit_of_the_ledgers_and_the_replies_holds(town: Town, tmp_path: Path) -> None:
    told = said(town, "fedbazaar-audit", "run", town.deployment.folder, "--out", tmp_path)
    assert "holds" in told
    assert "replies.charged" in (tmp_path / "run.json").read_text()
