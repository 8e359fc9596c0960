"""How the shop has been doing lately, seen from a moment: only outcomes known strictly before it count."""

import polars as pl

from .shop import Shop

_DELIVERY_DAYS, _REVIEW_DAYS, _ORDER_DAYS = 45, 90, 28
USUAL_LOG_DAYS, DELIVERY_STRENGTH = 2.5, 3
USUAL_BAD_SHARE, REVIEW_STRENGTH = 0.22, 10
"""Public constants: a shop without history looks like this, and history counts against so many outcomes."""


def with_trailing(shop: Shop, rows: pl.DataFrame) -> pl.DataFrame:
    """Add the trailing columns to `rows` (column `time`).

    `trailing_delivery_days` is the mean of log(1 + days) over deliveries of the last 45 days, shrunk:
    (sum + 3 * 2.5) / (n + 3); `trailing_deliveries` is that n. `trailing_bad_reviews` is the share of
    reviews of the last 90 days with 3 stars or fewer, (bad + 10 * 0.22) / (n + 10).
    `trailing_orders_28d` counts orders.
    """
    at = rows["time"]
    log_days, deliveries = shop.deliveries.within(at, _DELIVERY_DAYS)
    bad, reviews = shop.reviews.within(at, _REVIEW_DAYS)
    _, placed = shop.placements.within(at, _ORDER_DAYS)
    return rows.with_columns(
        trailing_delivery_days=pl.Series(
            (log_days + DELIVERY_STRENGTH * USUAL_LOG_DAYS) / (deliveries + DELIVERY_STRENGTH)
        ),
        trailing_deliveries=pl.Series(deliveries),
        trailing_bad_reviews=pl.Series(
            (bad + REVIEW_STRENGTH * USUAL_BAD_SHARE) / (reviews + REVIEW_STRENGTH)
        ),
        trailing_orders_28d=pl.Series(placed),
    )
