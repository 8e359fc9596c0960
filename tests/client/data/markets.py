"""Small exports with everything that ties shoppers to each other, and the same without one of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.client.exports import SPLIT, after, order, write_shop, write_table

SHOPPERS = ("ann", "bob", "cid", "dan", "eve")
_ITEMS = ("mug", "pot", "pan")
_DEVICES = ("phone", "desktop")


@dataclass(frozen=True, kw_only=True)
class Market:
    """Rows of the tables [orders], [items] and [events], in the order of the export."""

    orders: list[dict[str, Any]]
    items: list[dict[str, Any]]
    events: list[dict[str, Any]]

    def write(self, folder: Path, **tables: Any) -> Path:
        """Write the export and its merchant.toml; `tables` are more of its tables."""
        return write_shop(
            folder, self.orders, items=self.items, events=self.events or None, split=SPLIT, **tables
        )

    def everybody(self) -> list[tuple[str, str]]:
        """Return whoever may be removed: shoppers, guests' orders and guests' sessions."""
        named = {("shopper", line["customer_id"]) for line in self.orders if line["customer_id"]}
        guests = {("guest order", line["order_id"]) for line in self.orders if not line["customer_id"]}
        sessions = {("guest session", e["session_id"]) for e in self.events if not self._owner(e)}
        return sorted(named | guests | sessions)

    def without(self, kind: str, name: str) -> "Market":
        """Return the market as if somebody had never come: no line, no event, no session that was theirs."""
        return Market(
            orders=[line for line in self.orders if self._buyer(line) != (kind, name)],
            items=self.items,
            events=[event for event in self.events if self._visitor(event) != (kind, name)],
        )

    def records(self) -> list[tuple[str, str]]:
        """Return all orders and sessions, whoever's they are."""
        orders = {("order", line["order_id"]) for line in self.orders}
        return sorted(orders | {("session", event["session_id"]) for event in self.events})

    def without_record(self, kind: str, name: str) -> "Market":
        """Return the market without one order or one session, with all that it held."""
        return Market(
            orders=[line for line in self.orders if ("order", line["order_id"]) != (kind, name)],
            items=self.items,
            events=[event for event in self.events if ("session", event["session_id"]) != (kind, name)],
        )

    def _buyer(self, line: dict[str, Any]) -> tuple[str, str]:
        who = line["customer_id"]
        return ("shopper", who) if who else ("guest order", line["order_id"])

    def _visitor(self, event: dict[str, Any]) -> tuple[str, str]:
        who = event["customer_id"] or self._owner(event)
        return ("shopper", who) if who else ("guest session", event["session_id"])

    def _owner(self, event: dict[str, Any]) -> str | None:
        """The first shopper who is named in the event's session."""
        here = [e for e in self.events if e["session_id"] == event["session_id"] and e["customer_id"]]
        return min(here, key=lambda e: e["event_ts"])["customer_id"] if here else None


def market(seed: int) -> Market:
    """Return a market with guests, repeat buyers, shared orders and sessions, and missing outcomes."""
    draw = np.random.default_rng(seed)
    lines = [_line(n, draw) for n in range(20)]
    # Two shoppers in one order, and a guest in an order of a shopper's.
    lines += [order(20.5, order_id="shared", customer_id=who, item_id="pot") for who in ("ann", "bob")]
    lines += [order(8.5, order_id="o3", customer_id=None)]
    events = [_event(n, draw) for n in range(18)]
    items = [
        {"item_id": name, "category": name.upper(), "price": float(10 * n + 5), "weight_g": 100.0 * n}
        for n, name in enumerate(_ITEMS)
    ]
    return Market(orders=lines, items=items, events=events)


def collector() -> Market:
    """Return a market in which one shopper alone bought most of the items, and many of each."""
    many = [order(n, order_id=f"o{n}", customer_id="ann", item_id=f"i{n}", quantity=50.0) for n in range(8)]
    few = [order(n, order_id=f"p{n}", customer_id=f"c{n}", item_id=f"j{n}") for n in range(5)]
    last = order(100, order_id="last", customer_id="zoe", item_id="j0")
    return Market(orders=[*many, *few, last], items=[{"item_id": "i0", "category": "X"}], events=[])


def pioneer() -> Market:
    """Return a market in which one shopper came first, often and with bad luck; many others followed."""
    bad = [order(n, order_id=f"o{n}", customer_id="ann", delivered_ts=after(10 + n)) for n in range(8)]
    good = [order(n, order_id=f"p{n}", customer_id=f"c{n}") for n in range(20, 32)]
    return Market(orders=[*bad, *good], items=[{"item_id": "mug", "category": "X"}], events=[])


@dataclass(frozen=True, kw_only=True)
class Table:
    """A ready table and what its merchant.toml says of it."""

    rows: list[dict[str, Any]]
    keys: dict[str, Any]

    def write(self, folder: Path) -> Path:
        """Write the export, as text, and its merchant.toml."""
        return write_table(folder, pl.DataFrame(self.rows, infer_schema_length=None), csv=True, **self.keys)

    def everybody(self) -> list[tuple[str, str]]:
        """Return the shoppers who have a name."""
        return sorted({("shopper", row["who"]) for row in self.rows if row["who"]})

    def without(self, kind: str, name: str) -> "Table":
        """Return the table without one shopper's rows."""
        return Table(rows=[row for row in self.rows if row["who"] != name], keys=self.keys)


def table(seed: int, **keys: Any) -> Table:
    """Return a table whose labels are written in many ways, with rows that name no shopper."""
    draw = np.random.default_rng(seed)
    rows = [
        {
            "who": None if draw.random() < 0.2 else f"c{draw.integers(0, 9)}",
            "day": f"{after(float(draw.uniform(0, 75))):%Y-%m-%d}",
            "price": float(draw.uniform(1, 60)),
            "trailing_orders_28d": float(draw.integers(0, 9)),
            "y": str(draw.choice(["1.00", "0.00", "1", "0", "yes", "no", ""])),
        }
        for _ in range(40)
    ]
    return Table(rows=rows, keys={"labels": {"bought": "y"}, "unit": "who"} | keys)


def _line(number: int, draw: np.random.Generator) -> dict[str, Any]:
    day = round(float(draw.uniform(0, 75)), 3)
    takes = float(draw.uniform(1, 15))
    guest = draw.random() < 0.2
    return order(
        day,
        order_id=f"o{number // 2}" if not guest and number % 5 == 0 else f"o{number}",
        customer_id=None if guest else str(draw.choice(SHOPPERS)),
        item_id=str(draw.choice(_ITEMS)),
        quantity=float(draw.integers(1, 4)),
        unit_price=float(draw.integers(1, 60)),
        delivered_ts=None if draw.random() < 0.15 else after(day + takes),
        promised_ts=after(day + 7),
        review_score=None if draw.random() < 0.3 else float(draw.integers(1, 6)),
        review_ts=None if draw.random() < 0.5 else after(day + takes + 2),
    )


def _event(number: int, draw: np.random.Generator) -> dict[str, Any]:
    return {
        "event_ts": after(round(float(draw.uniform(0, 70)), 4)),
        "event_type": str(draw.choice(["view", "add_to_cart", "purchase", "ad_impression", "ad_click"])),
        "session_id": f"s{number // 3}",
        "customer_id": None if draw.random() < 0.5 else str(draw.choice(SHOPPERS)),
        "item_id": str(draw.choice(_ITEMS)),
        "device": str(draw.choice(_DEVICES)),
    }
