"""A shop's cleaned tables in the form that all kinds of rows are made from."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from client.data.split import Bounds

REVIEW_DELAY_DAYS = 4
"""A review without a date is taken to be written so many days after delivery."""
RETURN_DELAY_DAYS = 30
"""Whether an order is sent back is known so many days after delivery, unless a date says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What rows are made from. Times are UTC.

    Attributes:
        lines: Paid order lines in the order of time: canonical columns, `shopper`, `unit`, the item's facts.
        orders: One row per order, in the order of time: the columns of its first line, but `quantity` of all
            lines, and `time`, `lines`, `value` (items only), `delivery_days`, `review_known`, `return_known`.
        items: One row per item.
        events: Visits and advertisements in the order of time; empty without [events].
        timezone: Of the shop.
        bounds: Where train, validation and test begin.
        end: Until when the tables are complete.
    """

    lines: pl.DataFrame
    orders: pl.DataFrame
    items: pl.DataFrame
    events: pl.DataFrame
    timezone: str
    bounds: Bounds
    end: datetime


ITEM_FACTS = ("category", "brand", "weight_g", "volume_cm3", "photos", "title", "title_length")
"""Columns of items that belong to an item rather than to a sale."""


def with_units(lines: pl.DataFrame, *, guest: str) -> pl.DataFrame:
    """Add `shopper` (null for a guest) and `unit`, the owner of the row: the shopper, or a guest of its own.

    Args:
        lines: With a column `customer_id`.
        guest: Column that tells guests apart.
    """
    shopper = "shopper " + pl.col("customer_id")
    return lines.with_columns(shopper=shopper, unit=shopper.fill_null("guest " + pl.col(guest)))


def item_facts(items: pl.DataFrame) -> pl.DataFrame:
    """Return the items with their facts; a missing title length is the length of the title."""
    return items.select(
        "item_id",
        *(fact for fact in ITEM_FACTS if fact != "title_length"),
        pl.coalesce("title_length", pl.col("title").str.len_chars().cast(pl.Float64)).alias("title_length"),
        pl.col("price").alias("list_price"),
    )


def paid_lines(orders: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return the order lines with unit and item facts, in the order of time and then of the export."""
    sorted_lines = with_units(orders, guest="order_id").sort("order_ts", maintain_order=True)
    return sorted_lines.join(item_facts(items), on="item_id", how="left", maintain_order="left")


def placed_orders(lines: pl.DataFrame) -> pl.DataFrame:
    """Return one row per order (see `Shop.orders`)."""
    orders = lines.group_by("order_id", maintain_order=True).agg(
        pl.exclude("quantity", "returned", "return_ts", "review_score", "review_ts").first(),
        pl.len().cast(pl.Float64).alias("lines"),
        pl.col("quantity").sum(),
        (pl.col("quantity") * pl.col("unit_price")).sum().alias("value"),
        pl.col("review_score").drop_nulls().first(),
        pl.col("review_ts").min(),
        pl.col("returned").any(ignore_nulls=False),
        pl.col("return_ts").min(),
    )
    days = (pl.col("delivered_ts") - pl.col("order_ts")).dt.total_microseconds() / 86_400e6
    return orders.with_columns(
        time="order_ts",
        delivery_days=days,
        review_known=pl.coalesce("review_ts", pl.col("delivered_ts").dt.offset_by(f"{REVIEW_DELAY_DAYS}d")),
        return_known=pl.coalesce("return_ts", pl.col("delivered_ts").dt.offset_by(f"{RETURN_DELAY_DAYS}d")),
    )
