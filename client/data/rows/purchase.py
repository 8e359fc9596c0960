"""Rows `purchase` (an order has just been placed) and `delivery` (it has just arrived), and their labels."""

from datetime import timedelta

import numpy as np
import polars as pl

from .calendar import calendar
from .history import with_history
from .shop import BAD, Shop, with_facts
from .trailing import with_trailing

EVERYTHING = slice(None)


def purchases(shop: Shop, *, length: int, part: slice = EVERYTHING) -> pl.DataFrame:
    """Return one row per order, with everything known when it was placed.

    Item columns describe the order's first line; `price` is that line's unit price; `position` is that of
    the order in `shop.orders`.

    Args:
        shop: The shop.
        length: Longest history.
        part: Of which orders.
    """
    positions = pl.Series("position", np.arange(len(shop.orders))[part])
    rows = with_facts(shop, shop.orders[part].with_columns(positions))
    return with_history(shop, with_trailing(shop, rows), length=length).with_columns(
        **calendar(shop.timezone),
        price="unit_price",
        same_region=(pl.col("region") == pl.col("merchant_region")).cast(pl.Float64),
        promised_days=_days("promised_ts"),
        ship_by_days=_days("ship_by_ts"),
    )


def deliveries(shop: Shop, *, length: int, part: slice = EVERYTHING) -> pl.DataFrame:
    """Return one row per delivered order; its time, and so its part of the split, stays that of the order."""
    rows = purchases(shop, length=length, part=part).filter(pl.col("delivered_ts").is_not_null())
    return rows.with_columns(delay_days=pl.col("delivery_days") - pl.col("promised_days"))


def will_rebuy(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """1 where the shopper orders again within the horizon; missing for guests and beyond the export's end."""
    following = shop.orders_by_shopper.following(rows["shopper"], rows["position"])
    later = pl.lit(shop.orders["order_ts"].gather(following))
    again = (later - pl.col("order_ts")) <= horizon
    observed = pl.col("shopper").is_not_null() & (pl.col("time") + horizon <= shop.end)
    label = pl.when(observed).then(again.fill_null(False).cast(pl.Float64))
    return label, pl.col("time") + horizon


def delivery_days(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """Days from order to delivery, known at delivery."""
    return pl.col("delivery_days"), pl.col("delivered_ts")


def late(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """1 where it arrives after the promised moment, known at delivery."""
    return (pl.col("delivered_ts") > pl.col("promised_ts")).cast(pl.Float64), pl.col("delivered_ts")


def bad_review(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """1 where the review has 3 stars or fewer, missing where none is written."""
    return (pl.col("review_score") <= BAD).cast(pl.Float64), pl.col("review_known")


def returned(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """1 where the order is sent back."""
    return pl.col("returned").cast(pl.Float64), pl.col("return_known")


def _days(column: str) -> pl.Expr:
    return (pl.col(column) - pl.col("order_ts")).dt.total_microseconds() / 86_400e6
