"""Rows `visit`: a shopper is about to choose; the item is not known yet. One per order, and their labels."""

from datetime import timedelta

import polars as pl

from .purchase import EVERYTHING, purchases
from .shop import Shop


def visits(shop: Shop, *, length: int, part: slice = EVERYTHING) -> pl.DataFrame:
    """Return one row per order; what the order holds is left to the labels (`library.ROW_KINDS`)."""
    return purchases(shop, length=length, part=part)


def order_value(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """Sum of quantity times unit price over the order's lines, known at once."""
    return pl.col("value"), pl.col("time")


def next_item(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """The item of the order's first line, known at once."""
    return pl.col("item_id"), pl.col("time")
