"""What sessions and impressions have in common."""

import polars as pl

from .shop import Shop, with_facts, with_units


def owned(events: pl.DataFrame) -> pl.DataFrame:
    """Add `shopper` (who is known at the event) and `unit` (who the whole session belongs to).

    A shopper who signs in half-way owns the session from its beginning, but is not known at its beginning.
    """
    customer = pl.col("customer_id").drop_nulls().first().over("session_id")
    owner = with_units(events.select("session_id", customer_id=customer), guest="session_id")
    return with_units(events, guest="session_id").with_columns(owner["unit"])


def at_event(shop: Shop, events: pl.DataFrame) -> pl.DataFrame:
    """Add the moment and the facts of the event's item; its price is the list price."""
    rows = with_facts(shop, events.with_columns(time="event_ts"))
    return rows.rename({"list_price": "price"})
