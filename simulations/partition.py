"""Write a market as folders of ordinary merchants.

`<directory>/<merchant>/` holds `orders.parquet`, `items.parquet`, `events.parquet` (or `table.parquet`) and
`merchant.toml`. Point `fedbazaar-client` at it and it is a merchant like any other.

Guarantees:
    A merchant's folder holds rows of that merchant only. `merchant.toml` is written last, and every file is
    there wholly or not at all; so a folder with a `merchant.toml` is complete, and a killed write is
    finished by running it again. A file whose content would not change is not touched.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import tomli_w

from shared_model import files

from .market import Market, MerchantTables

SCHEMA = "shop-v1"
"""Version of the `merchant.toml` format that is written."""

_TABLES = ("orders", "items", "events", "table")


def write(market: Market, directory: Path) -> list[Path]:
    """Write every merchant of `market` under `directory`.

    Folders of merchants that are not in `market` are left as they are.

    Returns:
        The `merchant.toml` files, in the market's order.

    Raises:
        OSError: The disk is full or not writable; run it again to finish.
    """
    return [_write_merchant(market, name, directory / name) for name in market.merchants]


def _write_merchant(market: Market, name: str, folder: Path) -> Path:
    tables, config = market.merchants[name], folder / "merchant.toml"
    wanted = {folder / f"{table}.parquet": _parquet(frame) for table, frame in sorted(tables.frames.items())}
    declared = tomli_w.dumps(_declaration(market, name, tables)).encode()
    if not _holds(config, declared) or not all(_holds(path, content) for path, content in wanted.items()):
        config.unlink(missing_ok=True)
    for path, content in wanted.items():
        if not _holds(path, content):
            files.write(path, content, durable=False)
    for path in (folder / f"{table}.parquet" for table in _TABLES):
        if path not in wanted:
            path.unlink(missing_ok=True)
    if not config.exists():
        files.write(config, declared, durable=False)
    return config


def _declaration(market: Market, name: str, tables: MerchantTables) -> dict[str, Any]:
    """What `merchant.toml` says, in the format of `client/config.py`."""
    merchant = {"name": name, "state": "state", "timezone": "UTC"}
    said = {"tier": tables.tier, "domain": tables.domain or tables.tier}
    declared: dict[str, Any] = {"schema": SCHEMA, "merchant": merchant | {k: v for k, v in said.items() if v}}
    for table in tables.frames:
        declared[table] = {"source": f"{table}.parquet"}
        if table == "table":
            named = {"time": tables.time, "unit": tables.unit}
            declared[table] |= {key: column for key, column in named.items() if column}
            declared[table] |= {"columns": dict(tables.columns), "labels": dict(tables.labels)}
        else:
            declared[table]["preset"] = tables.preset
    if market.folds:
        declared["split"] = {"folds": market.folds, "fold": market.fold}
    elif market.validation_from and market.test_from:
        declared["split"] = {"validation_from": market.validation_from, "test_from": market.test_from}
    if tables.tasks:
        declared["task"] = [{"name": task} for task in tables.tasks]
    return declared


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def _holds(path: Path, content: bytes) -> bool:
    """Whether the file at `path` exists and holds exactly `content`."""
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
