"""A training is begun, followed and taken up again; never twice at a time."""

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from server import onboarding
from server.config import parse_run_config
from server.deployment import flower, following, lineages, running, superlink
from server.deployment.flower import FlowerRun
from server.deployment.following import RunStopped, Tail
from server.deployment.lineages import Run
from server.deployment.market import Market
from server.deployment.running import Waiting
from shared_model import declared, schema
from shared_model.errors import FingerprintMismatch, StateError
from shared_model.journal import Journal
from shared_model.model import initial_shared
from tests.server.deployment.markets import founded, with_members

STARTED = {"event": "run_started", "rounds": 3, "fingerprint": "f" * 64}
OPENED = {"event": "round_opened", "round": 1, "asked": ["acme"]}
CLOSED = {"event": "round_closed", "round": 1, "accepted": ["acme"], "attempt": 1, "seconds": 1.0}
RELEASED = {"event": "released", "members": {"acme": "adopted", "bravo": "missing"}}
WHOLE = [STARTED, OPENED, CLOSED, RELEASED]

Events = list[dict[str, Any]]


class Flower:
    """A SuperLink whose ServerApp writes prepared events into the journal when it is started.

    Attributes:
        events: Of each start, in turn.
        status: Of the run that was started last.
        up: Whether the SuperLink answers.
        started: Settings with which ServerApps were started.
    """

    def __init__(self, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
        self.market, self.status, self.up = market, "running", True
        self.events: list[Events] = []
        self.started: list[Path] = []
        monkeypatch.setattr(flower, "start_run", self.start_run)
        monkeypatch.setattr(flower, "runs", self.runs)
        monkeypatch.setattr(flower, "log", lambda *_: "Traceback\n  ModuleNotFoundError: server\n")
        monkeypatch.setattr(superlink, "is_up", lambda _: self.up)
        monkeypatch.setattr(following, "_LOOK_SECONDS", 0.0)
        monkeypatch.setattr(following, "_HEALTH_SECONDS", 0.0)
        monkeypatch.setattr(following, "_QUIET_SECONDS", (0.0, 0.0))

    def start_run(self, _: Path, app: Path, settings: Path) -> int:
        self.started.append(settings)
        write(Run(settings.parent), self.events[len(self.started) - 1])
        return 100 + len(self.started)

    def runs(self, _: Path, *, identity: int | None = None, limit: int = 20) -> list[FlowerRun]:
        return [FlowerRun(identity or 100 + len(self.started), self.status, "")] if self.started else []


def write(run: Run, events: Events) -> None:
    with Journal(run.journal) as journal:
        for event in events:
            journal.append(**event)


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return with_members(founded(tmp_path), "acme", "bravo", "coral")


@pytest.fixture
def link(market: Market, monkeypatch: pytest.MonkeyPatch) -> Flower:
    return Flower(market, monkeypatch)


def begun(
    market: Market, *, new: bool = False, seed: int = 0, start: str = "", waiting: Waiting | None = None
) -> str:
    origin = lineages.Origin(seed, start)
    return shown(lambda c: running.run(market, c, new=new, origin=origin, waiting=waiting or Waiting()))


def resumed(market: Market) -> str:
    return shown(lambda console: running.resume(market, console, waiting=Waiting()))


def shown(command: Callable[[Console], None]) -> str:
    console = Console(file=io.StringIO(), width=200)
    command(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# --- beginning ------------------------------------------------------------------------------------------


def test_a_run_is_shown_from_its_start_to_its_release(market: Market, link: Flower) -> None:
    link.events = [WHOLE]
    said = begun(market)
    assert "3 rounds, contract ffffffffffff" in said
    assert "round 1 of 3: 1 accepted; 1.0 s" in said
    assert "released: 1 adopted, 1 missing (bravo)" in said
    assert "released.safetensors" in said


def test_what_the_contract_promises_is_said_before_the_first_round(market: Market, link: Flower) -> None:
    link.events = [[STARTED | {"privacy": {"text": "NONE. Updates can reveal something."}}, *WHOLE[1:]]]
    assert "privacy: NONE. Updates can reveal something." in begun(market)


def test_what_privacy_tells_of_a_round_is_shown(market: Market, link: Flower) -> None:
    told = {"telemetry": {"late": 0.25}, "telemetry_std": 0.031}
    protected = {"event": "merchants_protected", "round": 1, "noise_std": 12.5, "epsilon": 1.25}
    link.events = [[STARTED, OPENED, protected, CLOSED | told, RELEASED]]
    said = begun(market)
    assert "telemetry: late 0.25, each with noise of 0.031" in said
    assert "merchants: epsilon 1.250 spent, noise 12.5 on the sum" in said


def test_the_serverapp_is_told_everything_in_absolute_paths(market: Market, link: Flower) -> None:
    link.events = [WHOLE]
    begun(market, seed=7, waiting=Waiting(members=2, seconds=5))
    told = parse_run_config(declared.read_toml(link.started[0]))
    paths = [told.contract, told.run_directory, told.members, told.signing_key, told.doorman]
    assert all(Path(path).is_absolute() for path in paths)
    assert told.lineage == Path(told.run_directory).name
    assert (told.seed, told.wait_members, told.wait_seconds) == (7, 2, 5.0)


def test_it_waits_for_the_quorum_of_all_that_train_unless_told_otherwise(
    market: Market, link: Flower
) -> None:
    link.events = [WHOLE]
    begun(market)
    assert declared.read_toml(link.started[0])["wait-members"] == 2  # half of three, rounded up


def test_what_merchants_sent_is_for_the_coordinators_own_user_alone(market: Market, link: Flower) -> None:
    link.events = [WHOLE]
    begun(market)
    assert stat.S_IMODE(market.runs.stat().st_mode) == 0o700


def test_without_doorman_nobody_is_poked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = with_members(founded(tmp_path, settings="doorman = false\n"), "acme")
    link = Flower(market, monkeypatch)
    link.events = [WHOLE]
    begun(market)
    assert declared.read_toml(link.started[0])["doorman"] == ""


def test_without_superlink_it_says_what_to_start(market: Market, link: Flower) -> None:
    link.up = False
    with pytest.raises(StateError, match="fedbazaar-server up"):
        begun(market, waiting=Waiting(seconds=0))


def test_it_waits_for_a_superlink_that_is_being_started(
    market: Market, link: Flower, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, False])
    link.events = [WHOLE]
    monkeypatch.setattr(running, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(superlink, "is_up", lambda _: next(looks, True))
    said = begun(market)
    assert "Waits 300 s at most for the SuperLink" in said
    assert "released: 1 adopted" in said


def test_without_members_it_says_how_to_get_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = founded(tmp_path)
    Flower(market, monkeypatch)
    with pytest.raises(StateError, match="fedbazaar-server enroll"):
        begun(market)


def test_a_second_run_is_refused_while_one_goes_on(market: Market, link: Flower) -> None:
    link.started = [market.folder]
    with pytest.raises(StateError, match="goes on already"):
        begun(market, new=True)


# --- stopping and going on ------------------------------------------------------------------------------


def test_a_run_that_stops_says_why_and_what_to_do(market: Market, link: Flower) -> None:
    link.events = [[STARTED, {"event": "run_stopped", "reason": "Round 1 got 0 usable replies."}]]
    with pytest.raises(RunStopped, match=r"after round 0 of 3\. Round 1 got 0 usable.*resume") as stopped:
        begun(market)
    assert str(market.folder) in str(stopped.value)


def test_a_serverapp_that_died_is_noticed_through_flower(market: Market, link: Flower) -> None:
    link.events, link.status = [[STARTED, OPENED, CLOSED]], "running"

    def dies(event: object, history: object) -> None:
        link.status = "finished:failed"

    run = lineages.new(market)
    write(run, [STARTED, OPENED, CLOSED])
    link.started = [run.settings]
    with pytest.raises(RunStopped, match=r"after round 1 of 3\. Flower says finished:failed.*ModuleNotFound"):
        following.follow(market, run, 101, Tail(run.journal), running.History(), dies)


def test_a_lost_superlink_is_noticed(market: Market, link: Flower) -> None:
    run = lineages.new(market)
    write(run, [STARTED])
    link.up = False
    with pytest.raises(RunStopped, match="SuperLink was lost"):
        following.follow(market, run, 101, Tail(run.journal), running.History(), lambda *_: None)


def test_one_unanswered_look_is_no_loss(
    market: Market, link: Flower, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, False, True, False, False])
    run = lineages.new(market)
    write(run, [STARTED])

    def look(_: Market) -> bool:
        found = next(looks, None)
        if found is None:
            write(run, WHOLE[1:])
        return found is not False

    link.started = [run.settings]
    monkeypatch.setattr(superlink, "is_up", look)
    history = following.follow(market, run, 101, Tail(run.journal), running.History(), lambda *_: None)
    assert history.is_finished


def test_an_unfinished_run_is_not_left_by_accident(market: Market, link: Flower) -> None:
    link.events = [[STARTED, {"event": "run_stopped", "reason": "x"}], WHOLE]
    with pytest.raises(RunStopped):
        begun(market)
    link.status = "finished:failed"
    with pytest.raises(StateError, match=r"stopped after round 0 of 3.*run --new"):
        begun(market)
    begun(market, new=True)
    assert len(lineages.all_of(market)) == 2


def test_an_unfinished_run_that_was_left_is_left_for_good(market: Market, link: Flower) -> None:
    left = lineages.new(market)
    left.directory.rename(left.directory.with_name("20200101-000000-left"))
    lineages.write_settings(
        market,
        lineages.Run(market.runs / "20200101-000000-left"),
        lineages.Origin(0),
        wait_members=1,
        wait_seconds=1,
    )
    link.events = [WHOLE, WHOLE]
    link.status = "finished:completed"
    begun(market, new=True)
    with pytest.raises(StateError, match=r"No run of .* is unfinished"):
        resumed(market)
    begun(market)
    assert len(lineages.all_of(market)) == 3


def test_resume_goes_on_with_lineage_and_seed(market: Market, link: Flower) -> None:
    link.events = [
        [STARTED, OPENED, CLOSED, {"event": "run_stopped", "reason": "x"}],
        [{"event": "resumed", "round": 1}, RELEASED],
    ]
    with pytest.raises(RunStopped):
        begun(market, seed=7)
    link.status = "finished:failed"
    said = resumed(market)
    assert "going on after round 1" in said
    assert link.started[0] == link.started[1]
    assert declared.read_toml(link.started[1])["seed"] == 7


def test_a_run_starts_from_what_was_carried_and_so_does_its_resumption(
    market: Market, link: Flower, tmp_path: Path
) -> None:
    contract = schema.load_federation(market.contract)
    carried = onboarding.carry(initial_shared(contract, 0), contract, contract, seed=0)
    onboarding.write(tmp_path / "start.safetensors", carried, contract, contract)
    link.events = [[STARTED, {"event": "run_stopped", "reason": "x"}], [RELEASED]]
    with pytest.raises(RunStopped):
        begun(market, start=str(tmp_path / "start.safetensors"))
    link.status = "finished:failed"
    resumed(market)
    assert {declared.read_toml(path)["start"] for path in link.started} == {
        str(tmp_path / "start.safetensors")
    }


def test_a_run_does_not_start_from_what_belongs_to_another_contract(
    market: Market, link: Flower, tmp_path: Path
) -> None:
    old = schema.load_federation(market.contract)
    other = schema.parse_federation({**declared.read_toml(market.contract), "local": {"proximal": 1.0}})
    carried = onboarding.carry(initial_shared(old, 0), old, other, seed=0)
    onboarding.write(tmp_path / "start.safetensors", carried, old, other)
    with pytest.raises(FingerprintMismatch, match="carry"):
        begun(market, start=str(tmp_path / "start.safetensors"))
    assert not lineages.all_of(market)


def test_what_an_earlier_attempt_said_does_not_stop_the_next_one(market: Market, link: Flower) -> None:
    link.events = [[STARTED, {"event": "run_stopped", "reason": "old"}], [RELEASED]]
    with pytest.raises(RunStopped, match="old"):
        begun(market)
    link.status = "finished:failed"
    assert "Done" in resumed(market)


def test_resume_follows_a_run_that_still_goes_on(
    market: Market, link: Flower, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = lineages.new(market)
    lineages.write_settings(market, run, lineages.Origin(0), wait_members=1, wait_seconds=1)
    run.remember(101)
    write(run, [STARTED])
    link.started = [run.settings]

    def ends(home: Path, **_: object) -> list[FlowerRun]:
        write(run, [RELEASED] if run.history().done else [OPENED, CLOSED])
        return [FlowerRun(101, "running", "")]

    monkeypatch.setattr(flower, "runs", ends)
    said = resumed(market)
    assert "following it" in said
    assert len(link.started) == 1


def test_resume_starts_again_what_flower_only_thinks_goes_on(market: Market, link: Flower) -> None:
    # After a crash of the SuperLink its run is "running" for some seconds more.
    run = lineages.new(market)
    lineages.write_settings(market, run, lineages.Origin(0), wait_members=1, wait_seconds=1)
    run.remember(101)
    write(run, [STARTED, {"event": "run_stopped", "reason": "x"}])
    link.started, link.events = [run.settings], [[], [{"event": "resumed", "round": 0}, RELEASED]]
    said = resumed(market)
    assert "Going on with it" in said
    assert len(link.started) == 2


def test_with_nothing_unfinished_there_is_nothing_to_resume(market: Market, link: Flower) -> None:
    link.events = [WHOLE]
    begun(market)
    link.status = "finished:completed"
    with pytest.raises(StateError, match=r"No run of .* is unfinished"):
        resumed(market)


def test_ctrl_c_leaves_the_run_going(market: Market, link: Flower, monkeypatch: pytest.MonkeyPatch) -> None:
    link.events = [[STARTED]]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(following.time, "sleep", interrupt)
    assert "goes on without us" in begun(market)


# --- reading a journal that grows -------------------------------------------------------------------------


def test_a_line_that_is_not_whole_yet_waits(tmp_path: Path) -> None:
    path, tail = tmp_path / "journal.jsonl", Tail(tmp_path / "journal.jsonl")
    assert list(tail.new()) == []
    whole = json.dumps(STARTED)
    path.write_text(f"{whole}\n{whole[:10]}")
    assert list(tail.new()) == [STARTED]
    path.write_text(f"{whole}\n{whole}\n")
    assert list(tail.new()) == [STARTED]


def test_lineages_are_in_order_of_time(market: Market) -> None:
    name = lineages.new(market).lineage
    assert name[:8].isdigit()
    assert name[8] == "-"
