"""Rows `impression`: an advertisement is about to be shown. One per session and item, and their labels."""

from datetime import timedelta

import polars as pl

from .calendar import calendar
from .events import at_event, owned
from .history import with_history
from .session import SILENCE
from .shop import Shop

_KEYS = ("session_id", "item_id")


def impressions(shop: Shop, *, length: int) -> pl.DataFrame:
    """Return one row per advertised item of a session, at its first impression.

    Args:
        shop: The shop.
        length: Longest history.
    """
    events = owned(shop.events)
    shown = events.filter(pl.col("event_type") == "ad_impression").unique(
        _KEYS, keep="first", maintain_order=True
    )
    ends = events.group_by("session_id").agg(last_ts=pl.col("event_ts").max())
    clicks = (
        events.filter(pl.col("event_type") == "ad_click")
        .group_by(_KEYS)
        .agg(click_ts=pl.col("event_ts").max())
    )
    rows = shown.join(ends, on="session_id", how="left", maintain_order="left")
    rows = rows.join(clicks, on=_KEYS, how="left", maintain_order="left", nulls_equal=True)
    return with_history(shop, at_event(shop, rows), length=length).with_columns(**calendar(shop.timezone))


def ad_click(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """1 where the item's advertisement is clicked in the same session, not before it was shown."""
    clicked = (pl.col("click_ts") >= pl.col("time")).fill_null(False)
    return clicked.cast(pl.Float64), pl.col("last_ts") + SILENCE
