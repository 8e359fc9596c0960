"""Small shops and contracts whose numbers can be checked by hand; the rest has a default."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from client.config import MerchantConfig, load_merchant
from client.data.dataset import Dataset, prepare
from shared_model.schema import Federation, parse_federation

NUMERIC = {"kind": "numeric"}
CATEGORY = {"kind": "categorical", "buckets": 64, "width": 2}
FIRST = datetime(2024, 1, 1, 12)
SPLIT = {"validation_from": "2024-03-01", "test_from": "2024-04-01"}


def contract(
    features: Mapping[str, Any] | None = None, tasks: Mapping[str, Any] | None = None, **rest: Any
) -> Federation:
    """Return a small contract."""
    return parse_federation(
        {
            "federation": {"name": "test", "rounds": 1},
            "features": features or {"price": NUMERIC, "category": CATEGORY},
            "tasks": tasks or {"late": {"kind": "binary", "library": "late"}},
            "bottom": {"architecture": "wide"},
            **rest,
        }
    )


def order(day: float, **columns: Any) -> dict[str, Any]:
    """Return one order line, placed `day` days after `FIRST`."""
    placed = FIRST + timedelta(days=day)
    line = {
        "order_id": f"o{day}", "order_ts": placed, "item_id": "mug", "quantity": 1.0, "unit_price": 10.0,
        "customer_id": "ann",
        "promised_ts": placed + timedelta(days=7), "delivered_ts": placed + timedelta(days=3),
    }  # fmt: skip
    return line | columns


def after(day: float) -> datetime:
    return FIRST + timedelta(days=day)


def write_merchant(folder: Path, **tables: Any) -> Path:
    """Write merchant.toml; `tables` are its tables beside [merchant]."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "merchant.toml"
    declared = {"schema": "shop-v1", "merchant": {"name": "acme"}} | tables
    path.write_text(tomli_w.dumps(declared))
    return path


def write_shop(
    folder: Path,
    orders: Sequence[Mapping[str, Any]],
    *,
    items: Sequence[Mapping[str, Any]] | None = None,
    events: Sequence[Mapping[str, Any]] | None = None,
    **tables: Any,
) -> Path:
    """Write a shop's tables as Parquet and its merchant.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    declared: dict[str, Any] = {"split": SPLIT}
    for name, rows in {"orders": orders, "items": items, "events": events}.items():
        if rows is not None:
            pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / f"{name}.parquet")
            declared[name] = {"source": f"{name}.parquet"}
    return write_merchant(folder, **declared | tables)


def write_table(folder: Path, frame: pl.DataFrame, *, csv: bool = False, **table: Any) -> Path:
    """Write a ready table and its merchant.toml; `table` are keys of [table] and whole other tables."""
    folder.mkdir(parents=True, exist_ok=True)
    name = "examples.csv" if csv else "examples.parquet"
    (frame.write_csv if csv else frame.write_parquet)(folder / name)
    others = {key: table.pop(key) for key in ("split", "task", "merchant") if key in table}
    return write_merchant(folder, table={"source": name} | table, **others)


def loaded(path: Path, federation: Federation) -> MerchantConfig:
    return load_merchant(path, federation)


def dataset(path: Path, federation: Federation) -> Dataset:
    return prepare(load_merchant(path, federation), federation)
