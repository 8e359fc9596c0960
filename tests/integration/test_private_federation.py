"""A federation with privacy, from the shops' files to what reached the coordinator."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from server import checkpoint
from server.coordinator import JOURNAL, RoundSummary
from server.wire_record import RECORD
from shared_model import journal
from shared_model.privacy.ledger import read_entries
from simulations import federated
from simulations.audit import wire
from simulations.federated import Site

from . import experiments

SHOPS = ("synthetic-01", "synthetic-02", "synthetic-03")


def contract(**privacy: Any) -> dict[str, Any]:
    return experiments.private_contract(rounds=2, **privacy)


def train(site: Site, directory: Path, on_round: Callable[[RoundSummary], None] | None = None) -> None:
    federated.train(site, directory=directory, lineage=directory.name, seed=0, on_round=on_round)


def stop(summary: RoundSummary) -> None:
    raise KeyboardInterrupt


def ledger_of(site: Site, name: str) -> Path:
    [found] = site.merchants[name].parent.glob("ledger/*.jsonl")
    return found


def events(directory: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in journal.read(directory / JOURNAL) if line["event"] == kind]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A whole training with telemetry; its run directory is `spring`, beside the contract."""
    folder = tmp_path_factory.mktemp("private")
    site = experiments.site(folder, contract(telemetry={}))
    train(site, folder / "spring")
    return site


def test_nothing_outside_the_contract_left_a_merchant(finished: Site) -> None:
    found = wire.audited(finished.contract.parent / "spring" / RECORD, finished.contract)
    assert (found.replies, found.findings) == (6, ())
    assert {sent.merchant for sent in found.messages} == set(SHOPS)


def test_the_coordinator_holds_the_head_of_every_ledger(finished: Site) -> None:
    last = checkpoint.latest(finished.contract.parent / "spring")
    assert last is not None
    heads = {name: read_entries(ledger_of(finished, name))[-1].head for name in SHOPS}
    assert last.progress.ledgers == heads


def test_what_every_ledger_holds_is_the_statistics_and_the_rounds(finished: Site) -> None:
    charged = [
        (entry.charge.what, entry.charge.round)
        for entry in read_entries(ledger_of(finished, SHOPS[0]))
        if entry.charge is not None
    ]
    assert charged == [("statistics", 0), ("round", 1), ("round", 2)]


@pytest.mark.parametrize(
    ("labels", "charged"),
    [("noised", ["statistics", "counts", "round", "round"]), ("at_home", ["statistics", "round", "round"])],
)
def test_sales_of_items_are_told_once_or_stay_at_home(
    tmp_path: Path, labels: str, charged: list[str]
) -> None:
    site = experiments.site(tmp_path, contract(tasks={"units": {"labels": labels}}))
    with pytest.raises(KeyboardInterrupt):
        train(site, tmp_path / "spring", on_round=stop)
    train(site, tmp_path / "spring")  # begun again: what was told is read again
    found = read_entries(ledger_of(site, SHOPS[0]))
    assert [entry.charge.what for entry in found if entry.charge is not None] == charged
    assert wire.audited(tmp_path / "spring" / RECORD, site.contract).findings == ()


def test_telemetry_reaches_the_journal_for_every_task_that_trains(finished: Site) -> None:
    closed = events(finished.contract.parent / "spring", "round_closed")
    trained = {"bad_review", "delivery_days", "late", "session_purchase", "units", "will_rebuy"}
    assert [set(line["telemetry"]) for line in closed] == [trained, trained]
    assert closed[0]["telemetry_std"] > 0


def test_a_merchant_whose_ledger_was_rolled_back_refuses_and_the_others_go_on(tmp_path: Path) -> None:
    site = experiments.site(tmp_path, contract())
    with pytest.raises(KeyboardInterrupt):
        train(site, tmp_path / "spring", on_round=stop)
    rolled_back = ledger_of(site, SHOPS[1])
    lines = rolled_back.read_text().splitlines(keepends=True)
    rolled_back.write_text("".join(lines[:-1]))
    train(site, tmp_path / "spring")
    refused = [(line["merchant"], line["reason"]) for line in events(tmp_path / "spring", "reply_refused")]
    assert refused == [(SHOPS[1], "LEDGER")]
    assert events(tmp_path / "spring", "round_closed")[-1]["accepted"] == [SHOPS[0], SHOPS[2]]


def test_a_merchants_stricter_cap_stops_it_and_the_others_go_on(tmp_path: Path) -> None:
    site = experiments.site(tmp_path, contract())
    own = tomllib.loads(site.merchants[SHOPS[2]].read_text())
    site.merchants[SHOPS[2]].write_text(tomli_w.dumps(own | {"privacy": {"max_epsilon": 6.0}}))
    train(site, tmp_path / "spring")
    refused = [
        (line["merchant"], line["round"], line["reason"])
        for line in events(tmp_path / "spring", "reply_refused")
    ]
    assert refused == [(SHOPS[2], 2, "BUDGET")]
    assert events(tmp_path / "spring", "round_closed")[-1]["accepted"] == [SHOPS[0], SHOPS[1]]


def test_both_layers_together_keep_their_own_accounts(tmp_path: Path) -> None:
    site = experiments.site(
        tmp_path, contract(merchants={"epsilon": 20.0, "delta": 1e-5, "clipping_norm": 1.0})
    )
    train(site, tmp_path / "spring")
    assert events(tmp_path / "spring", "merchants_protected")[-1]["epsilon"] == pytest.approx(20.0, rel=1e-6)
    assert len(read_entries(ledger_of(site, SHOPS[0]))) == 3


def test_a_seeded_simulation_of_both_layers_can_be_repeated(tmp_path: Path) -> None:
    agreed = contract(merchants={"epsilon": 20.0, "delta": 1e-5, "clipping_norm": 1.0})
    one, other = (experiments.site(tmp_path / name, agreed) for name in ("one", "other"))
    train(one, tmp_path / "one" / "spring")
    train(other, tmp_path / "other" / "spring")
    assert experiments.same(
        experiments.released(tmp_path / "one" / "spring"), experiments.released(tmp_path / "other" / "spring")
    )
