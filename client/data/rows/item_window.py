"""Rows `item_window`: a reference date, once for every item sold lately, and their labels."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .calendar import calendar
from .shop import Shop, with_facts
from .trailing import with_trailing

STEP = timedelta(days=14)
LISTED_DAYS = 180
MOST_ITEMS = 150
_WINDOWS = (7, 28, 90)
_DAY = np.timedelta64(1, "D")


def item_windows(shop: Shop, *, length: int) -> pl.DataFrame:
    """Return a row per reference date and item sold in the 180 days before it.

    At most the 150 items with most units in 90 days are listed. `trailing_orders_28d` is the number of
    units of all listed items in 28 days; `price` is that of the item's last sale.

    Args:
        shop: The shop.
        length: Unused; these rows have no shopper.
    """
    rows = with_trailing(shop, _windows(shop, most=MOST_ITEMS))
    return rows.with_columns(trailing_orders_28d=pl.col("units_28d").sum().over("time"))


def separate_item_windows(shop: Shop, *, length: int) -> pl.DataFrame:
    """Return the same rows for every item, however little it sells, and without the trailing columns.

    So no item's rows depend on what else is sold (arguments as in `item_windows`).
    """
    return _windows(shop, most=None)


def item_weeks(shop: Shop, weeks: Sequence[int]) -> pl.DataFrame:
    """Return a row for every item of the assortment at the end of every week of `weeks`, whatever was sold.

    They hold what the items table and the calendar say; counts take their place later (`counts.py`). The
    price is the list price.

    Args:
        shop: The shop; its lines are not read.
        weeks: Before validation begins; the moment of a row is so many weeks before.
    """
    moments = [shop.bounds.validation_from - timedelta(days=7 * week) for week in weeks]
    ends = pl.DataFrame({"week": weeks, "time": pl.Series(moments, dtype=_TIME)})
    items = shop.items.select("item_id", item=pl.int_range(pl.len(), dtype=pl.Int64))
    rows = with_facts(shop, ends.join(items, how="cross", maintain_order="left_right"))
    unit = "item " + pl.col("item_id").cast(pl.String)
    return rows.with_columns(**calendar(shop.timezone), unit=unit, price=pl.col("list_price"))


def first_items(lines: pl.DataFrame) -> pl.DataFrame:
    """Return the lines with which each unit counts for one item only: the first that it ever bought.

    Args:
        lines: Order lines in the order of time.
    """
    return lines.filter(pl.col("item_id") == pl.col("item_id").first().over("unit"))


def units(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """Units of the item sold in [time, time + horizon); missing where the export ends before.

    The window is half-open, so its outcome is complete an instant before its end.
    """
    lines = _Lines(shop.lines)
    codes = rows["item"].to_numpy()
    sold = np.full(len(rows), np.nan)
    for moment in rows["time"].unique():
        here = (rows["time"] == moment).to_numpy()
        if moment + horizon <= shop.end:
            start = np.datetime64(moment.replace(tzinfo=None), "us")
            sold[here] = lines.units(start, start + np.timedelta64(horizon))[codes[here]]
    label = pl.lit(pl.Series("sold", sold, nan_to_null=True))
    return label, pl.col("time") + horizon - timedelta(microseconds=1)


def reference_dates(shop: Shop) -> Iterator[datetime]:
    """Yield `validation_from` and every 14 days before and after it for which the shop has sales before."""
    if shop.orders.is_empty():
        return
    first = shop.orders["order_ts"][0]
    moment = shop.bounds.validation_from
    moment -= ((moment - first) // STEP) * STEP
    while moment <= shop.end:
        if moment > first:
            yield moment
        moment += STEP


class _Lines:
    """Order lines as arrays in the order of time; items as codes in the order of their first sale."""

    def __init__(self, lines: pl.DataFrame) -> None:
        self.names = lines["item_id"].unique(maintain_order=True)
        words = self.names.to_physical().to_numpy()
        position = np.zeros(int(words.max(initial=0)) + 1, np.int32)
        position[words] = np.arange(len(words))
        self.codes: NDArray[np.int32] = position[lines["item_id"].to_physical().to_numpy()]
        self.times: NDArray[np.datetime64] = lines["order_ts"].dt.replace_time_zone(None).to_numpy()
        self.quantity: NDArray[np.float64] = lines["quantity"].to_numpy()
        self.price: NDArray[np.float64] = lines["unit_price"].to_numpy()
        _, first = np.unique(self.codes, return_index=True)
        self.first_sale = self.times[first]

    def between(self, start: np.datetime64, end: np.datetime64) -> slice:
        """Lines with start <= time < end."""
        return slice(*np.searchsorted(self.times, np.array([start, end])))

    def units(self, start: np.datetime64, end: np.datetime64) -> NDArray[np.float64]:
        """Units of every item in [start, end), shape (items,)."""
        part = self.between(start, end)
        sold = np.bincount(self.codes[part], weights=self.quantity[part], minlength=len(self.names))
        return sold.astype(np.float64)


def _windows(shop: Shop, *, most: int | None) -> pl.DataFrame:
    lines = _Lines(shop.lines)
    rows = pl.concat([_empty(), *(_window(lines, moment, most) for moment in reference_dates(shop))])
    rows = with_facts(shop, rows.with_columns(item_id=lines.names.gather(rows["item"])))
    return rows.with_columns(**calendar(shop.timezone), unit="item " + pl.col("item_id"))


def _window(lines: _Lines, moment: datetime, most: int | None) -> pl.DataFrame:
    at = np.datetime64(moment.replace(tzinfo=None), "us")
    lately = lines.between(at - LISTED_DAYS * _DAY, at)
    last = np.full(len(lines.names), -1)
    last[lines.codes[lately]] = np.arange(lately.start, lately.stop)  # of repeated items the last one stays
    sold = {days: lines.units(at - days * _DAY, at) for days in _WINDOWS}
    listed = np.flatnonzero(last >= 0)
    listed = listed[np.argsort(-sold[90][listed], kind="stable")[:most]]
    return pl.DataFrame(
        {
            "time": pl.Series([moment], dtype=_TIME).new_from_index(0, len(listed)),
            "item": listed.astype(np.int64),
            "price": lines.price[last[listed]],
            "item_age_days": (at - lines.first_sale[listed]) / _DAY,
            **{f"units_{days}d": counts[listed] for days, counts in sold.items()},
        }
    )


_TIME = pl.Datetime("us", "UTC")


def _empty() -> pl.DataFrame:
    numbers = ("price", "item_age_days", *(f"units_{days}d" for days in _WINDOWS))
    return pl.DataFrame(schema={"time": _TIME, "item": pl.Int64, **dict.fromkeys(numbers, pl.Float64)})
