"""What sessions and impressions have in common."""

import polars as pl

from .shop import Shop, item_facts, with_units


def owned(events: pl.DataFrame) -> pl.DataFrame:
    """Add `shopper` (who is known at the event) and `unit` (who the whole session belongs to).

    A shopper who signs in half-way owns the session from its beginning, but is not known at its beginning.
    """
    signed = events.with_columns(customer=pl.col("customer_id").drop_nulls().first().over("session_id"))
    owner = signed.select("session_id", customer_id="customer")
    unit = with_units(owner, guest="session_id")["unit"]
    return with_units(signed, guest="session_id").with_columns(unit=unit)


def at_event(shop: Shop, events: pl.DataFrame) -> pl.DataFrame:
    """Add the moment and the facts of the event's item; its price is the list price."""
    rows = events.with_columns(time="event_ts")
    facts = item_facts(shop.items).rename({"list_price": "price"})
    return rows.join(facts, on="item_id", how="left", maintain_order="left")
