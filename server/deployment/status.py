"""`fedbazaar-server status`: how far the training is, who is there, and what needs attention."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from shared_model import processes, traffic
from shared_model.errors import StateError
from shared_model.schema import Federation, load_federation

from ..promise import promised
from . import certificates, flower, lineages, members, registration, superlink
from .history import RoundHistory, tally
from .lineages import Run
from .market import Market


def facts(market: Market) -> dict[str, Any]:
    """Return all that can be said about a coordinator's folder, as JSON values.

    Keys: `folder`, `address`, `coordinator` (`up` or `down`), `superlink` (the same), `certificate`,
    `privacy` (`server.promise.promised`), `bytes_per_round` (`shared_model.traffic`: `down` and `up` for a
    merchant, `all` for the `merchants` that a round asks of those enrolled to train), `run` (None before the
    first one), `members`.

    Raises:
        ConfigError: A file of the folder says something that is not allowed.
        StateError: A journal was changed.
    """
    up, contract = superlink.is_up(market), load_federation(market.contract)
    with ThreadPoolExecutor() as pool:  # two commands of Flower, seconds each
        online = pool.submit(_statuses, market, up)
        active = pool.submit(_active, market, up)
        runs = lineages.all_of(market)
        return {
            "folder": str(market.folder),
            "address": str(market.address),
            "coordinator": "up" if processes.is_held(market.lock) else "down",
            "superlink": "up" if up else "down",
            "certificate": _certificate(market),
            "privacy": promised(contract),
            "bytes_per_round": _traffic(market, contract),
            "run": _run(runs[-1], active.result()) if runs else None,
            "members": _members(market, online.result()),
        }


def show(found: Mapping[str, Any], console: Console) -> None:
    """Print what `facts` returned."""
    console.print(Group(_about(found), _who(found["members"])))


def _statuses(market: Market, up: bool) -> Mapping[str, str]:
    try:
        return registration.statuses(market) if up else {}
    except StateError:  # it went away this moment
        return {}


def _active(market: Market, up: bool) -> frozenset[int]:
    try:
        found = flower.runs(market.flower_home) if up else []
    except StateError:
        found = []
    return frozenset(run.identity for run in found if not run.is_over)


def _certificate(market: Market) -> dict[str, Any]:
    end = certificates.expiry(market.certificate)
    return {"expires": end.isoformat(), "days": (end - datetime.now(UTC)).days}


def _run(run: Run, active: frozenset[int]) -> dict[str, Any]:
    history = run.history()
    goes_on = run.flower_run in active and not history.stopped
    state = "finished" if history.is_finished else "running" if goes_on else "stopped"
    return {
        "lineage": run.lineage,
        "state": state,
        "round": history.done,
        "rounds": history.rounds,
        "reason": history.stopped if state == "stopped" else "",
        "last": _round(history.last),
        "open": _round(history.open),
        "released": dict(history.released) if history.released is not None else None,
        "file": str(run.released) if run.released.exists() else None,
    }


def _round(found: RoundHistory | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "round": found.number,
        "asked": list(found.asked),
        "accepted": list(found.accepted),
        "refused": dict(found.refused),
        "missing": list(found.missing),
        "seconds": found.seconds,
    }


def _traffic(market: Market, contract: Federation) -> dict[str, int]:
    training = sum(member.role == "train" for member in members.enrolled(market).values())
    asked, moved = contract.federation.asked(training), traffic.of_contract(contract)
    return {"down": moved.down, "up": moved.up, "merchants": asked, "all": moved.of_all(asked)}


def _members(market: Market, online: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "tier": member.tier,
            "tasks": list(member.tasks),
            "role": member.role,
            "node": online.get(name, "unknown"),
        }
        for name, member in members.enrolled(market).items()
    ]


def _about(found: Mapping[str, Any]) -> Table:
    table = Table(title=found["folder"], show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    days = found["certificate"]["days"]
    soon = "; renew it soon with `fedbazaar-server renew`" if days < certificates.WARN_DAYS else ""
    table.add_row("address", found["address"])
    table.add_row("coordinator", found["coordinator"])
    table.add_row("SuperLink", found["superlink"])
    table.add_row("certificate", f"{days} days left{soon}")
    table.add_row("privacy", found["privacy"]["text"])
    moved = found["bytes_per_round"]
    bytes_ = traffic.Traffic(down=moved["down"], up=moved["up"]).said(moved["merchants"])
    table.add_row("what travels", bytes_)
    for name, text in _about_run(found["run"]):
        table.add_row(name, text)
    return table


def _about_run(run: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if run is None:
        return [("run", "none yet")]
    rows = [("run", f"{run['lineage']}: {run['state']}, round {run['round']} of {run['rounds'] or '?'}")]
    if run["reason"]:
        rows.append(("stopped", run["reason"]))
    rows += [(f"{name} round", _spoken(run[name])) for name in ("last", "open") if run[name]]
    if run["released"] is not None:
        rows.append(("released", tally(run["released"]) or "to nobody"))
    if run["file"]:
        rows.append(("released file", run["file"]))
    return rows


def _spoken(found: Mapping[str, Any]) -> str:
    parts = [f"round {found['round']}: {len(found['asked'])} asked, {len(found['accepted'])} accepted"]
    parts += [f"{name} refused ({why})" for name, why in found["refused"].items()]
    parts += [f"{name} missing" for name in found["missing"]]
    return ", ".join(parts)


def _who(found: list[dict[str, Any]]) -> Table:
    table = Table("member", "node", "role", "tier", "tasks", title="Members", title_justify="left")
    for member in found:
        table.add_row(
            member["name"], member["node"], member["role"], member["tier"], ", ".join(member["tasks"])
        )
    return table
