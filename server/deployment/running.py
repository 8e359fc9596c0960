"""`fedbazaar-server run` and `resume`: submit the training and show how it goes.

Guarantees:
    * One training at a time: a run that goes on is followed or left alone, never started twice.
    * `resume` keeps lineage and seed, so that no finished round is repeated.
    * A SuperLink that is not up yet is waited for, so that `up` and `run` may be started one after the other.
    (`tests/server/deployment/test_running.py`)
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from shared_model.errors import StateError
from shared_model.schema import load_federation

from .. import onboarding
from ..open_round import needed
from . import flower, lineages, members, superlink, thin_app
from .following import RunStopped, Tail, follow
from .history import Event, History, RoundHistory, tally, told
from .lineages import Origin, Run
from .market import Market

_LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """How long a run waits for what it needs.

    Attributes:
        members: So many must be reachable before the first round; None for as many as the quorum of all that
            train.
        seconds: For the SuperLink, and then once more for the members; after that the run stops.
    """

    members: int | None = None
    seconds: float = 300.0


def run(market: Market, console: Console, *, new: bool, origin: Origin, waiting: Waiting) -> None:
    """Begin a new training and follow it to its end.

    Raises:
        FingerprintMismatch: What it is to start from belongs to another contract.
        StateError: No members, no SuperLink, or an unfinished run that `new` does not put aside.
        RunStopped: It ended before the release.
    """
    _await_ready(market, console, waiting.seconds)
    if active := _active(market):
        raise StateError(
            f"A run goes on already (Flower's run {active}). `fedbazaar-server resume {market.folder}` "
            "follows it."
        )
    before = lineages.unfinished(market)
    if before is not None and not new:
        history = before.history()
        raise StateError(
            f"{before.directory} stopped after round {history.done} of {history.rounds or '?'}. "
            f"`fedbazaar-server resume {market.folder}` goes on with it; `run --new` leaves it and begins "
            "another."
        )
    if origin.start:
        onboarding.read(Path(origin.start), load_federation(market.contract))
    begun = lineages.new(market)
    _start(market, begun, console, origin, waiting=waiting)


def resume(market: Market, console: Console, *, waiting: Waiting) -> None:
    """Go on with the newest run that did not come to its end; follow it where it still goes on.

    Raises:
        StateError: There is none, or no SuperLink.
        RunStopped: It ended before the release.
    """
    _await_ready(market, console, waiting.seconds)
    found = lineages.unfinished(market)
    if found is None:
        raise StateError(f"No run of {market.folder} is unfinished. `fedbazaar-server run` begins a new one.")
    active = _active(market)
    if active and active != found.flower_run:
        raise StateError(f"Flower's run {active} goes on, which is another one. Stop it: flwr stop {active}.")
    if active and not _had_died(market, found, active, console):
        return
    _start(market, found, console, lineages.origin_of(found), waiting=waiting)


def _had_died(market: Market, one: Run, identity: int, console: Console) -> bool:
    """Follow a run that Flower says goes on; return True where it was dead, which Flower sees late."""
    console.print(f"Run {one.lineage} still goes on: following it.", highlight=False)
    tail = Tail(one.journal)
    try:
        _watch(market, one, identity, tail, told(tail.new()), console)
    except RunStopped as stopped:
        console.print(
            f"{stopped} Going on with it.", highlight=False, markup=False, emoji=False, soft_wrap=True
        )
        return True
    return False


def _start(market: Market, one: Run, console: Console, origin: Origin, *, waiting: Waiting) -> None:
    wanted = _quorum(market) if waiting.members is None else waiting.members
    lineages.write_settings(market, one, origin, wait_members=wanted, wait_seconds=waiting.seconds)
    thin_app.write(market.app)
    tail = Tail(one.journal)
    before = replace(told(tail.new()), stopped="")
    identity = flower.start_run(market.flower_home, market.app, one.settings)
    one.remember(identity)
    console.print(
        f"Run {one.lineage} (Flower's run {identity}); waits for {wanted} members, {waiting.seconds:g} s at "
        "most.",
        highlight=False,
        soft_wrap=True,
    )
    try:
        _watch(market, one, identity, tail, before, console)
    except RunStopped as stopped:
        again = f"`fedbazaar-server resume {market.folder}` goes on with it."
        raise RunStopped(f"{stopped} {again}") from None


def _watch(market: Market, one: Run, identity: int, tail: Tail, before: History, console: Console) -> None:
    columns = TextColumn("rounds"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("", total=before.rounds or None, completed=before.done)

            def show(event: Event, history: History) -> None:
                progress.update(bar, total=history.rounds or None, completed=history.done)
                for line in _spoken(event, history):
                    console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

            follow(market, one, identity, tail, before, show)
    except KeyboardInterrupt:
        console.print(
            f"Left alone: the run goes on without us. `fedbazaar-server resume {market.folder}` follows it "
            "again, `status` says how far it is.",
            highlight=False,
            soft_wrap=True,
        )
    else:
        console.print(f"Done. The released model is {one.released}.", highlight=False, soft_wrap=True)


def _spoken(event: Event, history: History) -> list[str]:
    """Return the lines that a user sees for one event of the journal."""
    match event["event"]:
        case "run_started":
            return [f"{history.rounds} rounds, contract {event['fingerprint'][:12]}", *_privacy(event)]
        case "resumed":
            return [f"going on after round {event['round']}"]
        case "round_closed":
            return [closed_round(history), *_telemetry(event)]
        case "merchants_protected":
            return [
                f"merchants: epsilon {event['epsilon']:.3f} spent, noise {event['noise_std']:.3g} on the sum"
            ]
        case "round_failed":
            return [_failed_round(event, history)]
        case "member_refused":
            return [f"{event['merchant']} takes no part: {event['reason']}"]
        case "released":
            return [f"released: {tally(event['members'])}"]
    return []


def closed_round(history: History) -> str:
    """Return one line about the last completed round."""
    last = history.last
    if last is None:
        return "no round yet"
    counted = f"round {last.number} of {history.rounds}: {len(last.accepted)} accepted"
    return "; ".join([counted, *_not_used(last), f"{last.seconds:.1f} s"])


def _privacy(event: Event) -> list[str]:
    return [f"privacy: {event['privacy']['text']}"] if "privacy" in event else []


def _telemetry(event: Event) -> list[str]:
    if "telemetry" not in event:
        return []
    told = ", ".join(f"{task} {loss:.4g}" for task, loss in event["telemetry"].items())
    return [f"telemetry: {told}, each with noise of {event['telemetry_std']:.2g}"]


def _failed_round(event: Event, history: History) -> str:
    counted = f"round {event['round']}: {event['accepted']} usable replies of {event['asked']}"
    return "; ".join([counted, *(_not_used(history.open) if history.open else ())])


def _not_used(one: RoundHistory) -> list[str]:
    refused = ", ".join(f"{name} ({why})" for name, why in one.refused.items())
    missing = ", ".join(one.missing)
    return [f"refused {refused}"] * bool(refused) + [f"missing {missing}"] * bool(missing)


def _await_ready(market: Market, console: Console, seconds: float) -> None:
    flower.check_version()
    if not members.enrolled(market):
        raise StateError(
            f"Nobody is enrolled in {market.folder}. `fedbazaar-server enroll` takes a merchant in."
        )
    end = time.monotonic() + seconds
    if not superlink.is_up(market):
        console.print(
            f"Waits {seconds:g} s at most for the SuperLink, which `fedbazaar-server up {market.folder}` "
            "starts in another terminal.",
            highlight=False,
            soft_wrap=True,
        )
    while not superlink.is_up(market):
        if time.monotonic() >= end:
            raise StateError(f"The SuperLink is not up. Start `fedbazaar-server up {market.folder}` first.")
        time.sleep(_LOOK_SECONDS)


def _active(market: Market) -> int:
    """Return the Flower run that is not over, or 0."""
    going = [run.identity for run in flower.runs(market.flower_home) if not run.is_over]
    return going[0] if going else 0


def _quorum(market: Market) -> int:
    terms = load_federation(market.contract).federation
    train = sum(member.role == "train" for member in members.enrolled(market).values())
    return needed(terms.quorum, train)
