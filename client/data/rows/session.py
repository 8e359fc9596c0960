"""Rows `session`: a session has begun. One per session, and their labels."""

from datetime import timedelta

import polars as pl

from .calendar import calendar
from .events import at_event, owned
from .history import with_history
from .shop import Shop
from .shoppers import ByShopper

SILENCE = timedelta(minutes=30)
"""So long after its last event a session is over."""
BROWSING_DAYS = 30


def sessions(shop: Shop, *, length: int) -> pl.DataFrame:
    """Return one row per session, with what its first event says.

    `views` and `cart_adds` count the same shopper's events in the 30 days before this session; what the
    session itself brings is not known when it begins.

    Args:
        shop: The shop.
        length: Longest history.
    """
    events = owned(shop.events)
    ends = events.group_by("session_id").agg(
        last_ts=pl.col("event_ts").max(),
        purchase=(pl.col("event_type") == "purchase").any(),
    )
    first = events.unique("session_id", keep="first", maintain_order=True)
    rows = at_event(shop, first).join(ends, on="session_id", how="left", maintain_order="left")
    rows = with_history(shop, rows, length=length).with_columns(**calendar(shop.timezone))
    return rows.with_columns(
        views=_earlier_events(events, rows, "view"), cart_adds=_earlier_events(events, rows, "add_to_cart")
    )


def session_purchase(shop: Shop, rows: pl.DataFrame, horizon: timedelta) -> tuple[pl.Expr, pl.Expr]:
    """1 where the session ends in a purchase; missing where it begins with one."""
    label = pl.when(pl.col("event_type") != "purchase").then(pl.col("purchase").cast(pl.Float64))
    return label, pl.col("last_ts") + SILENCE


def _earlier_events(events: pl.DataFrame, rows: pl.DataFrame, kind: str) -> pl.Series:
    """Number of a shopper's events of a kind in the days before each row; null for a guest."""
    of_kind = ByShopper.of(events.filter(pl.col("event_type") == kind), "event_ts")
    _, now = of_kind.before(rows["shopper"], rows["time"])
    _, then = of_kind.before(rows["shopper"], rows["time"] - timedelta(days=BROWSING_DAYS))
    known = rows["shopper"].is_not_null()
    return pl.select(pl.when(known).then(pl.Series(now - then)).cast(pl.Float64)).to_series()
