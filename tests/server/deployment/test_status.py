"""One look tells how far it is and who is there."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from server.deployment import flower, lineages, registration, status, superlink
from server.deployment.flower import FlowerRun
from server.deployment.market import Market
from shared_model.errors import StateError
from shared_model.journal import Journal
from shared_model.processes import only_one
from tests.server.deployment.markets import founded, refuse, with_members


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return with_members(founded(tmp_path), "acme", "bravo")


def with_run(market: Market, *events: dict[str, object]) -> lineages.Run:
    run = lineages.new(market)
    lineages.write_settings(market, run, lineages.Origin(0), wait_members=1, wait_seconds=1)
    run.remember(101)
    with Journal(run.journal) as journal:
        for event in events:
            journal.append(**event)  # type: ignore[arg-type]
    return run


STARTED: dict[str, object] = {"event": "run_started", "rounds": 3}
OPENED: dict[str, object] = {"event": "round_opened", "round": 1, "asked": ["acme", "bravo"]}
REFUSED: dict[str, object] = {"event": "reply_refused", "round": 1, "merchant": "bravo", "reason": "BUDGET"}
CLOSED: dict[str, object] = {"event": "round_closed", "round": 1, "accepted": ["acme"], "seconds": 1.0}


def test_a_market_that_never_opened_is_down_and_its_members_are_unknown(market: Market) -> None:
    found = status.facts(market)
    assert (found["coordinator"], found["superlink"], found["run"]) == ("down", "down", None)
    assert [(m["name"], m["node"]) for m in found["members"]] == [("acme", "unknown"), ("bravo", "unknown")]
    assert found["certificate"]["days"] == 824
    moved = found["bytes_per_round"]
    assert (moved["merchants"], moved["all"]) == (2, 2 * (moved["down"] + moved["up"]))


def test_an_open_market_says_who_is_online_and_who_was_refused_why(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_run(market, STARTED, OPENED, REFUSED, CLOSED)
    monkeypatch.setattr(superlink, "is_up", lambda _: True)
    monkeypatch.setattr(registration, "statuses", lambda _: {"acme": "online", "bravo": "offline"})
    monkeypatch.setattr(flower, "runs", lambda _: [FlowerRun(101, "running", "")])
    with only_one(market.lock, what="it"):
        found = status.facts(market)
    assert (found["coordinator"], found["superlink"]) == ("up", "up")
    assert [m["node"] for m in found["members"]] == ["online", "offline"]
    assert (found["run"]["state"], found["run"]["round"], found["run"]["rounds"]) == ("running", 1, 3)
    assert found["run"]["last"]["refused"] == {"bravo": "BUDGET"}


def test_a_run_that_stopped_says_why(market: Market) -> None:
    with_run(market, STARTED, {"event": "run_stopped", "reason": "no quorum"})
    run = status.facts(market)["run"]
    assert (run["state"], run["reason"]) == ("stopped", "no quorum")


def test_a_run_without_a_last_word_has_stopped_when_flower_does_not_know_it(market: Market) -> None:
    with_run(market, STARTED, OPENED)
    assert status.facts(market)["run"]["state"] == "stopped"


def test_a_finished_run_names_who_adopted(market: Market) -> None:
    with_run(market, STARTED, {"event": "released", "members": {"acme": "adopted"}})
    run = status.facts(market)["run"]
    assert (run["state"], run["released"]) == ("finished", {"acme": "adopted"})


def test_a_finished_run_shows_how_many_adopted_and_who_did_not(market: Market) -> None:
    with_run(market, STARTED, {"event": "released", "members": {"acme": "adopted", "bravo": "missing"}})
    console = Console(file=io.StringIO(), width=200)
    status.show(status.facts(market), console)
    assert isinstance(console.file, io.StringIO)
    assert "1 adopted, 1 missing (bravo)" in console.file.getvalue()


def test_a_superlink_that_goes_away_meanwhile_is_no_error(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superlink, "is_up", lambda _: True)
    monkeypatch.setattr(flower, "nodes", refuse(StateError("away")))
    monkeypatch.setattr(flower, "runs", refuse(StateError("away")))
    assert [m["node"] for m in status.facts(market)["members"]] == ["unknown", "unknown"]


def test_what_is_shown_names_members_and_refusals(market: Market) -> None:
    with_run(market, STARTED, OPENED, REFUSED, CLOSED, {"event": "run_stopped", "reason": "no quorum"})
    console = Console(file=io.StringIO(), width=200)
    status.show(status.facts(market), console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "bravo refused (BUDGET)" in said
    assert "stopped, round 1 of 3" in said
    assert "no quorum" in said
    assert "may tell something about a single shopper" in said
