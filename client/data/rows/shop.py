"""A shop's cleaned tables in the form that all kinds of rows are made from.

The tables are held whole and small: ids and categories as codes, no column twice. Rows are made from them a
slice at a time, and only a slice is ever written out in words.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl

from client.data.canonical_tables import vector_column, written_out
from client.data.columns import UTC
from client.data.split import Bounds

from .outcomes import Outcomes, outcomes
from .shoppers import ByShopper

REVIEW_DELAY_DAYS = 4
"""A review without a date is taken to be written so many days after delivery."""
RETURN_DELAY_DAYS = 30
"""Whether an order is sent back is known so many days after delivery, unless a date says otherwise."""

BAD = 3
"""So many stars or fewer make a bad review."""

ITEM_FACTS = ("category", "brand", "weight_g", "volume_cm3", "photos", "title", "title_length")
"""Columns of items that belong to an item rather than to a sale."""

_OF_LINES = ("order_ts", "item_id", "quantity", "unit_price", "shopper", "unit")


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What rows are made from. Times are UTC, shoppers and units are 64-bit hashes.

    Attributes:
        lines: Paid order lines in the order of time: `order_ts`, `item_id`, `quantity`, `unit_price`,
            `shopper` and `unit`.
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

    @cached_property
    def facts(self) -> pl.DataFrame:
        """What is known of each item (see `item_facts`)."""
        return item_facts(self.items)

    @cached_property
    def vectors(self) -> pl.DataFrame:
        """The vectors of each item that has a row in the items table, with its id in words."""
        columns = [column for column in self.items.columns if column.startswith(vector_column(""))]
        return self.items.select(pl.col("item_id").cast(pl.String), *columns)

    @cached_property
    def deliveries(self) -> Outcomes:
        """Logarithms of the days that deliveries took, known at delivery."""
        return outcomes(self.orders["delivered_ts"].cast(UTC), self.orders["delivery_days"].log1p())

    @cached_property
    def reviews(self) -> Outcomes:
        """1 for a review of `BAD` stars or fewer, 0 for a better one."""
        bad = self.orders["review_score"].cast(pl.Float64) <= BAD
        return outcomes(self.orders["review_known"], bad.cast(pl.Float64))

    @cached_property
    def placements(self) -> Outcomes:
        """1 for every order, known when it is placed."""
        return outcomes(self.orders["order_ts"], pl.repeat(1.0, len(self.orders), eager=True))

    @cached_property
    def lines_by_shopper(self) -> ByShopper:
        """Who bought which lines when."""
        return ByShopper.of(self.lines, "order_ts")

    @cached_property
    def orders_by_shopper(self) -> ByShopper:
        """Who placed which orders when."""
        return ByShopper.of(self.orders, "order_ts")


def with_units(lines: pl.DataFrame, *, guest: str) -> pl.DataFrame:
    """Add `shopper` (null for a guest) and `unit`, the owner of the row: the shopper, or a guest of its own.

    Args:
        lines: With a column `customer_id`, which `shopper` replaces.
        guest: Column that tells guests apart.
    """
    shopper = pl.col("customer_id").cast(pl.UInt64)
    return lines.with_columns(unit=pl.coalesce(shopper, guest)).rename({"customer_id": "shopper"})


def item_facts(items: pl.DataFrame) -> pl.DataFrame:
    """Return the items with their facts; a missing title length is the length of the title."""
    length = pl.col("title_length").cast(pl.Float64)
    return items.select(
        "item_id",
        *(fact for fact in ITEM_FACTS if fact != "title_length"),
        pl.coalesce(length, pl.col("title").cast(pl.String).str.len_chars().cast(pl.Float64)).alias(
            "title_length"
        ),
        pl.col("price").alias("list_price"),
    )


def with_facts(shop: Shop, rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the facts of their items (column `item_id`), all of it in words."""
    return written_out(rows.join(shop.facts, on="item_id", how="left", maintain_order="left"))


def in_order(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return `frame` in the order of a column of times; rows of one moment stay as they are.

    Empties `frame`, column by column, so that there is never a second copy of the whole.
    """
    if frame[column].is_sorted():
        return frame
    order = pl.Series(np.argsort(frame[column].to_physical().to_numpy(), kind="stable").astype(np.uint32))
    return pl.DataFrame([frame.drop_in_place(name).gather(order) for name in frame.columns])


def lines_and_orders(lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return `Shop.lines` and `Shop.orders`; empties `lines` in the same way as `in_order`.

    Args:
        lines: Canonical orders with units, in the order of time.
    """
    orders = _summed(lines)
    first = orders.drop_in_place("first")
    lines.drop_in_place("order_id")
    for column in lines.columns:
        if column not in orders.columns:
            kept = lines[column] if column in _OF_LINES else lines.drop_in_place(column)
            orders = orders.with_columns(kept.gather(first))
        elif column not in _OF_LINES:
            lines.drop_in_place(column)
    return lines.select(_OF_LINES), _with_outcomes(orders)


def _summed(lines: pl.DataFrame) -> pl.DataFrame:
    """Per order the position of its first line, and what concerns all its lines."""
    read = ("quantity", "unit_price", "review_score", "review_ts", "returned", "return_ts")
    numbered = lines.select(
        order_numbers(lines["order_id"]), pl.int_range(pl.len(), dtype=pl.UInt32).alias("first"), *read
    )
    grouped = numbered.sort("order", maintain_order=True).group_by("order", maintain_order=True)
    return grouped.agg(
        pl.col("first").first(),
        pl.len().cast(pl.Float64).alias("lines"),
        pl.col("quantity").sum(),
        (pl.col("quantity") * pl.col("unit_price")).sum().alias("value"),
        pl.col("review_score").drop_nulls().first(),
        pl.col("review_ts").min(),
        pl.col("returned").cast(pl.Boolean).any(ignore_nulls=False),
        pl.col("return_ts").min(),
    ).drop("order")


def order_numbers(ids: pl.Series) -> pl.Series:
    """Return the number of each line's order, in the order of the orders' first lines, ascending if possible.

    The lines of an order mostly follow each other, so only the first of each such run is looked up.

    >>> order_numbers(pl.Series([7, 7, 3, 7, 5])).to_list()
    [0, 0, 1, 0, 2]
    """
    values = ids.to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])[: len(values)])
    _, first, place = np.unique(values[starts], return_index=True, return_inverse=True)
    number = np.empty(len(first), np.uint32)
    number[np.argsort(first)] = np.arange(len(first))
    numbers = pl.Series("order", np.repeat(number[place], np.diff(starts, append=len(values))))
    return numbers.set_sorted() if numbers.is_sorted() else numbers


def _with_outcomes(orders: pl.DataFrame) -> pl.DataFrame:
    delivered, reviewed, sent_back = (
        pl.col(column).cast(UTC) for column in ("delivered_ts", "review_ts", "return_ts")
    )
    return orders.with_columns(
        time="order_ts",
        delivery_days=(delivered - pl.col("order_ts")).dt.total_microseconds() / 86_400e6,
        review_known=pl.coalesce(reviewed, delivered.dt.offset_by(f"{REVIEW_DELAY_DAYS}d")),
        return_known=pl.coalesce(sent_back, delivered.dt.offset_by(f"{RETURN_DELAY_DAYS}d")),
    )
