"""The statistics across shoppers: their noise is what was claimed, and no shopper moves their sums further.

Nothing to find in a contract without them.
"""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from client.data.blocks import SENSITIVITY, SERIES, block_sums
from client.data.statistics import Statistics, noised

from ..findings import Finding
from ..subject import Subject
from .noise import Floats, gaussian
from .sensitivity import TOLERANCE

_BLOCKS = 20_000
_BEGIN, _END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)

Order = tuple[int, float, float, int]
"""Day, days until the delivery, days until the review, score."""

_HOSTILE: dict[str, list[Order]] = {
    "late and bad": [(1, 1e6, 2.0, 1)],
    "at once and good": [(1, 0.0, 2.0, 5)],
    "a hundred orders": [(day, 90.0, 20.0, 1) for day in range(1, 101)],
}
"""Orders of a hostile shopper."""


def statistics(subject: Subject) -> tuple[Finding, ...]:
    """Return the law of the noise on block sums, and how far one shopper moves them, over the claim."""
    multiplier = subject.plan.statistics_multiplier
    if multiplier is None:
        return ()
    nothing = np.zeros(_BLOCKS)
    empty = Statistics(orders=nothing, deliveries=nothing, reviews=nothing)
    told = noised(empty, multiplier, subject.mechanism.noise(subject.generator("statistics")))
    noise: Floats = np.stack([getattr(told, name) for name in SERIES]) / (multiplier * SENSITIVITY)
    moves = {name: _moved(orders) for name, orders in _HOSTILE.items()}
    worst = max(moves, key=lambda name: np.nan_to_num(moves[name], nan=np.inf))
    return (
        *gaussian("statistics", noise),
        Finding(
            name="statistics.sensitivity",
            value=moves[worst],
            high=1 + TOLERANCE,
            says=f"Largest part of the sums that one shopper makes up, over the claimed one (here: {worst}).",
        ),
    )


def _moved(orders: list[Order]) -> float:
    others = [("honest", (day, 5.0, 10.0, 4)) for day in range(0, 300, 30)]
    mine = [("hostile", order) for order in orders]
    there, absent = (block_sums(_shop(rows), _END) for rows in ([*others, *mine], others))
    squares = [float(((there[name] - absent[name]) ** 2).sum()) for name in SERIES]
    return math.sqrt(sum(squares)) / SENSITIVITY


def _shop(rows: list[tuple[str, Order]]) -> pl.DataFrame:
    """Return the columns of `Shop.orders` that the sums read, in the order of time."""
    placed = [_BEGIN + timedelta(days=order[0]) for _, order in rows]
    return pl.DataFrame(
        {
            "unit": [who for who, _ in rows],
            "order_ts": placed,
            "delivery_days": [order[1] for _, order in rows],
            "delivered_ts": [
                at + timedelta(days=min(order[1], 1e3)) for at, (_, order) in zip(placed, rows, strict=True)
            ],
            "review_known": [
                at + timedelta(days=order[2]) for at, (_, order) in zip(placed, rows, strict=True)
            ],
            "review_score": [order[3] for _, order in rows],
        }
    ).sort("order_ts")
