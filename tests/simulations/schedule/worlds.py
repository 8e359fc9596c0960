"""Merchants that a test can follow by hand: lines without delay, no luck."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from shared_model import declared
from shared_model.schema import Federation, parse_federation
from simulations.schedule.merchants import KEPT_ATTEMPTS, Merchants
from simulations.schedule.timeline import Timeline

ROUNDS = 3


def merchants(*work: float, **changes: Any) -> Merchants:
    """Merchants that need so many seconds for every round, always online, on endlessly fast lines."""
    count = len(work)
    zeros, never = np.zeros(count), np.full(count, np.inf)
    made = Merchants(
        names=tuple(f"m{i}" for i in range(count)),
        groups=("all",) * count,
        work=np.repeat(np.array(work, np.float64)[:, None], ROUNDS, axis=1),
        lost=np.zeros((count, ROUNDS, KEPT_ATTEMPTS), bool),
        down=zeros,
        up=zeros,
        latency=zeros,
        opens=zeros,
        hours=np.full(count, 24.0),
        joins=zeros,
        leaves=never,
        held=zeros,
    )
    return replace(made, **changes)


def timeline(
    made: Merchants, *, pace: float = 0.0, starts_at: float = 0.0, megabits: float = np.inf
) -> Timeline:
    """Put them on a clock, with messages of one megabyte."""
    return Timeline(made, bytes_moved=(10**6, 10**6), megabits=megabits, starts_at=starts_at, pace=pace)


def contract(**federation: Any) -> Federation:
    """A contract of three rounds."""
    terms = {"name": "tiny", "rounds": ROUNDS, "deadline_seconds": 100.0, **federation}
    tables = {
        "federation": terms,
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"late": {"kind": "binary", "library": "late"}},
        "bottom": {"architecture": "wide"},
    }
    return parse_federation(tables)


def with_tiers(federation: Federation, tiers: dict[str, Any]) -> Federation:
    """The same contract with other tiers."""
    return parse_federation({**_plain(federation), "tiers": tiers})


def _plain(federation: Federation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(declared.canonical(federation))
    return {name: table for name, table in found.items() if table is not None}
