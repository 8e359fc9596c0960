"""Counts of items and weeks: their noise is what was claimed, and no shopper moves them further.

Nothing to find in a contract without noised labels.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from client.data.counts import WEEKS, Counts, exact_counts, noised_counts

from ..findings import Finding
from ..subject import Subject
from .noise import gaussian
from .sensitivity import TOLERANCE

_ITEMS = 400
_UNTIL = datetime(2025, 1, 1, tzinfo=UTC)

Line = tuple[int, float, float]
"""Item, days before validation, units."""

_HOSTILE: dict[str, list[Line]] = {
    "a hundred items at once": [(item, 1.0, 1e6) for item in range(100)],
    "one item every day": [(0, float(day), 50.0) for day in range(1, 300)],
    "a thousand lines of one item": [(0, 3.0, 1e3)] * 1000,
    "a return of everything": [(1, 9.0, -1e9)],
    "units that are no number": [(2, 16.0, float("nan")), (3, 16.0, float("inf"))],
}
"""Lines of a hostile shopper."""


def counts(subject: Subject) -> tuple[Finding, ...]:
    """Return the law of the noise on counts, and how far one shopper moves them, over the claim."""
    plan = subject.plan.counts
    if plan is None:
        return ()
    nothing = Counts(items=tuple(map(str, range(_ITEMS))), sold=np.zeros((_ITEMS, WEEKS)))
    told = noised_counts(nothing, plan, subject.mechanism.noise(subject.generator("counts")))
    moves = {name: _moved(subject, lines) for name, lines in _HOSTILE.items()}
    worst = max(moves, key=lambda name: np.nan_to_num(moves[name], nan=np.inf))
    return (
        *gaussian("counts", told.sold / plan.noise_std),
        Finding(
            name="counts.sensitivity",
            value=moves[worst],
            high=1 + TOLERANCE,
            says=f"Largest part of the counts that one shopper makes up, over the claim (here: {worst}).",
        ),
    )


def _moved(subject: Subject, lines: list[Line]) -> float:
    plan = subject.plan.counts
    assert plan is not None  # `counts` saw to it
    others = [("honest", line) for line in ((0, 3.0, 1.0), (1, 9.0, 1.0), (5, 1.0, 1.0))]
    mine = [("hostile", line) for line in lines]
    items = pl.DataFrame({"item_id": [str(item) for item in range(_ITEMS)]})
    bounds = replace(plan, noise_multiplier=1.0)
    there, absent = (
        exact_counts(_lines(rows), items, _UNTIL, bounds).sold for rows in ([*others, *mine], others)
    )
    return float(np.linalg.norm(there - absent)) / plan.sensitivity


def _lines(rows: list[tuple[str, Line]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "unit": [who for who, _ in rows],
            "item_id": [str(item) for _, (item, _, _) in rows],
            "order_ts": [_UNTIL - timedelta(days=days) for _, (_, days, _) in rows],
            "quantity": [units for _, (_, _, units) in rows],
        }
    )
