"""Big exports as shops write them: ids as text, most columns neither a feature nor a label."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tomli_w
from numpy.typing import NDArray

from shared_model.schema import Federation, parse_federation

_PART = 100_000
"""Rows that are generated at a time."""

_TEXTS, _NUMBERS = 8, 12
"""Columns that nobody asked for: texts of about 60 characters, and numbers."""

_ITEMS, _SHOPPERS, _DAYS = 20_000, 150_000, 600
_FIRST = np.datetime64("2020-01-01", "us")


def write_export(way: str, folder: Path, *, rows: int) -> Path:
    """Write an export, streaming, and its merchant.toml; return the file that is big.

    Args:
        way: `table` or `shop`.
        folder: To make.
        rows: Of the ready table, or order lines.
    """
    folder.mkdir()
    made, declared = _WAYS[way]
    path = folder / "export.parquet"
    parts = folder / "parts"
    parts.mkdir()
    for start in range(0, rows, _PART):
        numbers = np.arange(start, min(start + _PART, rows))
        made(numbers, rows).with_columns(_unasked(numbers)).write_parquet(parts / f"{start:012}.parquet")
    pl.scan_parquet(parts).sink_parquet(path)
    _items().write_parquet(folder / "items.parquet")
    merchant = {"schema": "shop-v1", "merchant": {"name": "acme"}, **declared}
    (folder / "merchant.toml").write_text(tomli_w.dumps(merchant), encoding="utf-8")
    return path


def _lines(numbers: NDArray[np.int64], rows: int) -> pl.DataFrame:
    """Order lines: two to an order, ids as text, as a shop's software writes them."""
    generator = np.random.default_rng(int(numbers[0]))
    order = numbers // 2
    placed = _placed(order * 2, rows)
    return pl.DataFrame(
        {
            "order_id": _text("order-", order),
            "customer_id": _text("customer-", order * 2_654_435_761 % _SHOPPERS),
            "order_ts": placed,
            "item_id": _text("sku-", np.minimum(generator.zipf(1.3, len(order)), _ITEMS)),
            "quantity": generator.integers(1, 4, len(order)),
            "unit_price": generator.lognormal(3, 1, len(order)).round(2),
            "region": _text("region ", generator.integers(0, 50, len(order))),
            "promised_ts": placed + np.timedelta64(7, "D"),
            "delivered_ts": placed + generator.integers(24, 300, len(order)) * np.timedelta64(1, "h"),
            "review_score": generator.integers(1, 6, len(order)),
        }
    )


def _examples(numbers: NDArray[np.int64], rows: int) -> pl.DataFrame:
    """Rows of a ready table: ten numbers, a category, a title, a binary label and a chosen item."""
    generator = np.random.default_rng(int(numbers[0]))
    count = len(numbers)
    return pl.DataFrame(
        {
            "customer": _text("customer-", numbers // 4),
            "created_at": _placed(numbers, rows),
            "category": _text("kind ", generator.integers(0, 3_000, count)),
            "title": _text("A fine thing, number ", generator.integers(0, _ITEMS, count)),
            "bought": generator.integers(0, 2, count),
            "item": _text("sku-", np.minimum(generator.zipf(1.3, count), _ITEMS)),
            **{f"x{place}": generator.normal(size=count) for place in range(10)},
        }
    )


def _items() -> pl.DataFrame:
    numbers = np.arange(1, _ITEMS + 1)
    return pl.DataFrame(
        {
            "item_id": _text("sku-", numbers),
            "category": _text("kind ", numbers % 60),
            "price": numbers / 100,
            "title": _text("A fine thing, number ", numbers),
        }
    )


def _unasked(numbers: NDArray[np.int64]) -> list[pl.Series]:
    """Names, addresses, notes and totals: columns that no feature reads."""
    base = pl.Series(numbers)
    digits = [[base.hash(3 * place + third).cast(pl.String) for third in range(3)] for place in range(_TEXTS)]
    texts = [(one + two + three).alias(f"text_{place}") for place, (one, two, three) in enumerate(digits)]
    totals = [(base.hash(100 + place) / 2**40).round(2).alias(f"total_{place}") for place in range(_NUMBERS)]
    return [*texts, *totals]


def _text(word: str, numbers: NDArray[np.int64]) -> pl.Series:
    """Every number as a text of its own of some length."""
    series = pl.Series(numbers)
    return word + series.cast(pl.String) + "-" + series.hash(1).cast(pl.String)


def _placed(numbers: NDArray[np.int64], rows: int) -> NDArray[np.datetime64]:
    """Moments of `rows` rows, spread evenly over `_DAYS`."""
    return _FIRST + numbers * np.timedelta64(_DAYS * 86_400_000_000 // rows, "us")


_Way = tuple[Callable[[NDArray[np.int64], int], pl.DataFrame], Mapping[str, Any]]
_WAYS: Mapping[str, _Way] = {
    "table": (
        _examples,
        {
            "table": {
                "source": "export.parquet",
                "time": "created_at",
                "unit": "customer",
                "labels": {"bought": "bought", "item": "item"},
            }
        },
    ),
    "shop": (_lines, {"orders": {"source": "export.parquet"}, "items": {"source": "items.parquet"}}),
}
_CATEGORY = {"kind": "categorical", "buckets": 256, "width": 4}
_TITLE = {"kind": "text", "buckets": 4096, "width": 4, "max_grams": 8}
_FEATURES: Mapping[str, Mapping[str, Any]] = {
    "table": {f"x{place}": {"kind": "numeric"} for place in range(10)},
    "shop": {
        "region": _CATEGORY,
        "history": {"kind": "sequence", "of": ["category"], "max_length": 8},
        **{
            name: {"kind": "numeric"}
            for name in ("price", "promised_days", "trailing_delivery_days", "orders_before")
        },
    },
}
_TASKS: Mapping[str, Mapping[str, Any]] = {
    "table": {"bought": {"kind": "binary"}, "item": {"kind": "retrieval"}},
    "shop": {
        "late": {"kind": "binary", "library": "late"},
        "bad_review": {"kind": "binary", "library": "bad_review"},
        "next_item": {"kind": "retrieval", "library": "next_item"},
        "units": {"kind": "count", "library": "units"},
    },
}


def agreement(way: str) -> Federation:
    """Return a contract for what one way in offers (`table` or `shop`)."""
    return parse_federation(
        {
            "federation": {"name": "encoding", "rounds": 1},
            "features": {"category": _CATEGORY, "title": _TITLE, **_FEATURES[way]},
            "tasks": dict(_TASKS[way]),
            "bottom": {"architecture": "wide"},
        }
    )
