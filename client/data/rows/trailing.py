"""How the shop has been doing lately, seen from a moment: only outcomes known strictly before it count."""

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .shop import Shop

_DELIVERY_DAYS, _REVIEW_DAYS, _ORDER_DAYS = 45, 90, 28
_USUAL_LOG_DAYS, _DELIVERY_STRENGTH = 2.5, 3
_USUAL_BAD_SHARE, _REVIEW_STRENGTH = 0.22, 10
"""Public constants: a shop without history looks like this, and history counts against so many outcomes."""


def with_trailing(shop: Shop, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the trailing columns to `rows` (column `time`).

    `trailing_delivery_days` is the mean of log(1 + days) over deliveries of the last 45 days, shrunk:
    (sum + 3 * 2.5) / (n + 3); `trailing_deliveries` is that n. `trailing_bad_reviews` is the share of
    reviews of the last 90 days with 3 stars or fewer, (bad + 10 * 0.22) / (n + 10).
    `trailing_orders_28d` counts orders.
    """
    orders, at = shop.orders, rows["time"]
    delivered = orders.select("delivered_ts", pl.col("delivery_days").log1p()).drop_nulls()
    log_days, deliveries = within(delivered["delivered_ts"], delivered["delivery_days"], at, _DELIVERY_DAYS)
    reviewed = orders.select("review_known", (pl.col("review_score") <= 3).cast(pl.Float64)).drop_nulls()
    bad, reviews = within(reviewed["review_known"], reviewed["review_score"], at, _REVIEW_DAYS)
    _, placed = within(orders["order_ts"], pl.repeat(1.0, len(orders), eager=True), at, _ORDER_DAYS)
    return rows.with_columns(
        trailing_delivery_days=pl.Series(
            (log_days + _DELIVERY_STRENGTH * _USUAL_LOG_DAYS) / (deliveries + _DELIVERY_STRENGTH)
        ),
        trailing_deliveries=pl.Series(deliveries),
        trailing_bad_reviews=pl.Series(
            (bad + _REVIEW_STRENGTH * _USUAL_BAD_SHARE) / (reviews + _REVIEW_STRENGTH)
        ),
        trailing_orders_28d=pl.Series(placed),
    )


def within(
    times: pl.Series, values: pl.Series, at: pl.Series, days: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sum and number of the values with at - days <= time < at, for every moment of `at`.

    Args:
        times: When each value became known, any order.
        values: As many numbers.
        at: Moments.
        days: Length of the window.

    >>> from datetime import datetime
    >>> day = lambda n: datetime(2024, 1, n)
    >>> within(pl.Series([day(1), day(2)]), pl.Series([1.0, 5.0]), pl.Series([day(2), day(3)]), 1)
    (array([1., 5.]), array([1., 1.]))
    """
    order = times.arg_sort()
    sums = np.concatenate([[0.0], np.cumsum(values.gather(order).to_numpy())])
    known = times.gather(order)
    last = known.search_sorted(at, side="left").to_numpy()
    first = known.search_sorted(at - timedelta(days=days), side="left").to_numpy()
    return sums[last] - sums[first], (last - first).astype(np.float64)
