"""How a shop has been doing, in sums over blocks of days to which each shopper adds very little.

The trailing columns of `rows/trailing.py` ask for the orders and outcomes of the last weeks, and one shopper
moves them for everybody who comes after. Here time is cut into blocks at public moments, and of each shopper
the first order alone counts: once where it was placed, once where it arrived, once where its review came.
So a sum with noise can be told (`statistics.py`).

Notation: T blocks.
"""

import math
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .columns import UTC
from .rows.shop import BAD
from .rows.trailing import USUAL_BAD_SHARE, USUAL_LOG_DAYS

ORIGIN = np.datetime64("2000-01-01", "us")
"""Where the first block begins, UTC; what happened before does not count."""
BLOCK = np.timedelta64(15, "D")
LARGEST_DEVIATION = 1.0
"""To which the deviation of a delivery's log-days from a usual shop's is cut."""
SENSITIVITY = math.hypot(1.0, LARGEST_DEVIATION, max(USUAL_BAD_SHARE, 1 - USUAL_BAD_SHARE))
"""By how much all sums together move at most without one shopper, in L2 norm: one number in each series."""

SERIES = ("orders", "deliveries", "reviews")


def block_of(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Return the number of the block that each moment lies in; below 0 before the first.

    >>> block_of(np.array(["2000-01-15T23:59", "2000-01-16"], "datetime64[us]")).tolist()
    [0, 1]
    """
    return (times - ORIGIN) // BLOCK


def block_sums(orders: pl.DataFrame, until: datetime) -> dict[str, NDArray[np.float64]]:
    """Return three sums over each block that is over by `until`, shape (T,) each.

    `orders`: how many were placed. `deliveries`: of those that arrived, log(1 + days) - 2.5, cut to [-1, 1].
    `reviews`: of those that became known, 1 - 0.22 for a bad one and -0.22 for another.

    Args:
        orders: `Shop.orders`; the first of each unit counts.
        until: Public.
    """
    blocks = max(int(block_of(np.array([until.replace(tzinfo=None)], "datetime64[us]"))[0]), 0)
    first = orders.unique("unit", keep="first", maintain_order=True)
    deviation = (first["delivery_days"].log1p() - USUAL_LOG_DAYS).clip(-LARGEST_DEVIATION, LARGEST_DEVIATION)
    bad = (first["review_score"].cast(pl.Float64) <= BAD).cast(pl.Float64) - USUAL_BAD_SHARE
    placed = pl.repeat(1.0, len(first), eager=True)
    return {
        "orders": _summed(first["order_ts"], placed, blocks),
        "deliveries": _summed(first["delivered_ts"].cast(UTC), deviation, blocks),
        "reviews": _summed(first["review_known"], bad, blocks),
    }


def _summed(times: pl.Series, values: pl.Series, blocks: int) -> NDArray[np.float64]:
    known = pl.DataFrame({"time": times.dt.replace_time_zone(None), "value": values}).drop_nulls()
    place = block_of(known["time"].to_numpy())
    inside = (place >= 0) & (place < blocks)
    weights = known["value"].to_numpy()[inside]
    return np.bincount(place[inside], weights=weights, minlength=blocks).astype(np.float64)
