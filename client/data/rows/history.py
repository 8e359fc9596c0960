"""What a shopper bought before a moment, strictly."""

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .shop import Shop

DESCRIBED = ("category", "brand")
"""Facts of earlier items that `history` offers, as `history.category`, `history.brand`."""


def with_history(shop: Shop, rows: pl.DataFrame, *, length: int) -> pl.DataFrame:
    """Add `history.*`, `orders_before` and `days_since_last_order` to `rows` (columns `shopper`, `time`).

    Args:
        shop: Where the purchases are.
        rows: Any rows; a null shopper has no history, and it is unknown whether it ordered before.
        length: Longest history, newest items first.
    """
    first, last, times = _earlier(shop.orders, rows)
    ordered = (last - first).astype(np.float64)
    previous = pl.Series(times).gather(np.maximum(last - 1, 0)) if len(times) else pl.Series(rows["time"])
    since = (rows["time"] - previous).dt.total_microseconds() / timedelta(days=1).total_seconds() / 1e6
    known = rows["shopper"].is_not_null()
    lists = _newest(shop.lines, rows, length)
    return rows.with_columns(
        orders_before=pl.when(known).then(pl.Series(ordered)),
        days_since_last_order=pl.when(known & pl.Series(ordered > 0)).then(since),
        **lists,
    )


def _earlier(
    purchases: pl.DataFrame, rows: pl.DataFrame
) -> tuple[NDArray[np.int64], NDArray[np.int64], pl.Series]:
    """For every row, where its shopper's purchases begin and where those before `time` end, after sorting.

    Returns:
        First (B,), last (B,) and the sorted times that they point into.
    """
    shoppers = pl.concat([purchases["shopper"], rows["shopper"]]).rank("dense").fill_null(0).cast(pl.Int64)
    moments = pl.concat([purchases["order_ts"], rows["time"]]).rank("dense").cast(pl.Int64)
    width = int(moments.max() or 0) + 1  # type: ignore[arg-type]
    key = (shoppers * width + moments).to_numpy()
    bought, asked = key[: len(purchases)], key[len(purchases) :]
    order = np.argsort(bought, kind="stable")
    start = np.searchsorted(bought[order], shoppers.to_numpy()[len(purchases) :] * width)
    end = np.searchsorted(bought[order], asked, side="left")
    return start, end, purchases["order_ts"].gather(order)


def _newest(lines: pl.DataFrame, rows: pl.DataFrame, length: int) -> dict[str, pl.Series]:
    """For every row the facts of the last `length` items bought before it, newest first."""
    known = lines.filter(pl.col("shopper").is_not_null()).sort("shopper", "order_ts", maintain_order=True)
    first, last, _ = _earlier(known, rows)
    count = np.where(rows["shopper"].is_null().to_numpy(), 0, np.minimum(last - first, length))
    owner = np.repeat(np.arange(len(rows)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    found = known.select(DESCRIBED)[last[owner] - 1 - step] if len(owner) else known.select(DESCRIBED).clear()
    grouped = found.with_columns(row=pl.Series(owner, dtype=pl.Int64)).group_by("row").agg(DESCRIBED)
    joined = pl.DataFrame({"row": np.arange(len(rows))}).join(
        grouped, on="row", how="left", maintain_order="left"
    )
    return {f"history.{fact}": joined[fact] for fact in DESCRIBED}
