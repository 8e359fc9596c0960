"""What a shopper bought before a moment, strictly."""

from datetime import timedelta

import numpy as np
import polars as pl

from .shop import Shop, with_facts

DESCRIBED = ("item_id", "category", "brand")
"""Facts of earlier items that `history` offers, as `history.item_id`, `history.category`, `history.brand`."""


def with_history(shop: Shop, rows: pl.DataFrame, *, length: int) -> pl.DataFrame:
    """Add `history.*`, `orders_before` and `days_since_last_order` to `rows` (columns `shopper`, `time`).

    Args:
        shop: Where the purchases are.
        rows: Any rows; a null shopper has no history, and it is unknown whether it ordered before.
        length: Longest history, newest items first.
    """
    first, last = shop.orders_by_shopper.before(rows["shopper"], rows["time"])
    latest = shop.orders_by_shopper.positions(np.where(last > first, last - 1, -1))
    since = rows["time"] - shop.orders["order_ts"].gather(latest)
    known = rows["shopper"].is_not_null()
    return rows.with_columns(
        orders_before=pl.when(known).then(pl.Series((last - first).astype(np.float64))),
        days_since_last_order=since.dt.total_microseconds() / timedelta(days=1).total_seconds() / 1e6,
        **_newest(shop, rows, length),
    )


def _newest(shop: Shop, rows: pl.DataFrame, length: int) -> dict[str, pl.Series]:
    """For every row the facts of the last `length` items bought before it, newest first."""
    first, last = shop.lines_by_shopper.before(rows["shopper"], rows["time"])
    count = np.minimum(last - first, length)
    owner = np.repeat(np.arange(len(rows)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    bought = shop.lines["item_id"].gather(shop.lines_by_shopper.positions(last[owner] - 1 - step))
    found = with_facts(shop, bought.to_frame()).select(DESCRIBED)
    grouped = found.with_columns(row=pl.Series(owner, dtype=pl.Int64)).group_by("row").agg(DESCRIBED)
    joined = pl.DataFrame({"row": np.arange(len(rows))}).join(
        grouped, on="row", how="left", maintain_order="left"
    )
    return {f"history.{fact}": joined[fact] for fact in DESCRIBED}
