"""Small shops on disk: a ready table, a contract and a merchant.toml."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tomli_w

from client.config import load_merchant
from client.data.dataset import prepare
from client.merchant import Merchant
from shared_model.model import initial_shared
from shared_model.protocol import Instruction, SharedArrays, digest
from shared_model.schema import Federation, load_federation

LINEAGE = "spring"


def contract(**changes: Any) -> dict[str, Any]:
    tables: dict[str, Any] = {
        "federation": {"name": "tiny", "rounds": 5, "local_steps": 3, "expected_batch": 16},
        "local": {"learning_rate": 0.1},
        "features": {
            "x": {"kind": "numeric"},
            "z": {"kind": "numeric"},
            "colour": {"kind": "categorical", "buckets": 8, "width": 2},
            "shelf": {"kind": "categorical", "buckets": 8, "width": 2, "scope": "local"},
        },
        "tasks": {
            "bought": {"kind": "binary", "initial": 0.4, "residual_penalty": 10.0},
            "amount": {"kind": "regression", "scale": 0.5, "residual_penalty": 10.0},
        },
        "bottom": {"architecture": "mmoe", "experts": 2, "hidden": [4]},
    }
    for key, value in changes.items():
        tables[key] = value if "architecture" in value else {**tables.get(key, {}), **value}
    return tables


def examples(rows: int = 60, seed: int = 0) -> pl.DataFrame:
    """Rows in order of time; amount = 1 + 2x, bought where x + z > 0; one label of each is missing."""
    draw = np.random.default_rng(seed)
    last = pl.date(2024, 1, 1) + pl.duration(days=rows - 1)
    x, z = draw.normal(size=rows), draw.normal(size=rows)
    return pl.DataFrame(
        {
            "day": pl.date_range(pl.date(2024, 1, 1), last, eager=True),
            "who": [f"shopper-{i % (rows // 2)}" for i in range(rows)] if rows > 1 else ["shopper-0"],
            "x": x,
            "z": z,
            "colour": draw.choice(["red", "blue"], rows),
            "shelf": draw.choice(["a", "b", "c"], rows),
            "bought": [None, *(x + z > 0).astype(int)[1:].tolist()],
            "amount": [None, *(1 + 2 * x)[1:].tolist()],
        }
    )  # fmt: skip


def write(
    folder: Path,
    table: pl.DataFrame | None = None,
    *,
    agreement: dict[str, Any] | None = None,
    labels: dict[str, str] | None = None,
    **changes: Any,
) -> tuple[Path, Path]:
    """Write a shop; return the paths of its merchant.toml and of the contract."""
    folder.mkdir(parents=True, exist_ok=True)
    frame = examples() if table is None else table
    frame.write_parquet(folder / "examples.parquet")
    declared: dict[str, Any] = {
        "schema": "shop-v1",
        "merchant": {"name": "acme"},
        "table": {
            "source": "examples.parquet",
            "time": "day",
            "unit": "who",
            "labels": labels or {"bought": "bought", "amount": "amount"},
        },
        "split": {"validation_days": 10, "test_days": 10},
        **changes,
    }
    (folder / "merchant.toml").write_text(tomli_w.dumps(declared))
    (folder / "federation.toml").write_text(tomli_w.dumps(agreement or contract()))
    return folder / "merchant.toml", folder / "federation.toml"


def merchant(folder: Path, *, seed: int | None = 0, **options: Any) -> Merchant:
    path, agreement = write(folder, **options)
    return opened(path, agreement, seed=seed)


def opened(path: Path, agreement: Path, *, seed: int | None = 0) -> Merchant:
    federation = load_federation(agreement)
    config = load_merchant(path, federation)
    return Merchant(config, federation, prepare(config, federation), seed=seed)


def start(federation: Federation, seed: int = 0) -> SharedArrays:
    return initial_shared(federation, seed)


def instruction(federation: Federation, arrays: SharedArrays, **changes: Any) -> Instruction:
    facts = {"fingerprint": federation.fingerprint, "lineage": LINEAGE, "round": 1, "digest": digest(arrays)}
    return Instruction(**{**facts, **changes})


def offer(federation: Federation, arrays: SharedArrays, **changes: Any) -> Instruction:
    return instruction(federation, arrays, kind="adopt", **changes)
