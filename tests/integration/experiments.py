"""A tiny experiment on disk: three synthetic shops and the demo's contract, cut short."""

import shutil
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from server import checkpoint
from shared_model.protocol import SharedArrays
from shared_model.schema import load_federation
from simulations import partition
from simulations.datasets import SyntheticMarket, read
from simulations.experiment import EXPERIMENTS
from simulations.federated import Site

MARKET = {
    "kind": "synthetic",
    "merchants": 3,
    "days": 180,
    "validation_from": date(2022, 4, 15),
    "test_from": date(2022, 5, 20),
    "median_orders": 80,
    "max_orders": 120,
    "items": 12,
}
"""Shops of about 80 orders in half a year."""


def demo_contract() -> dict[str, Any]:
    return tomllib.loads((EXPERIMENTS / "demo.federation.toml").read_text())


def contract(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """The demo's contract with three rounds and without privacy; `changes` are merged into its tables."""
    tables = demo_contract()
    del tables["privacy"]
    tables["federation"] |= {"name": "tiny", "rounds": 3}
    return tables | {name: {**tables.get(name, {}), **change} for name, change in changes.items()}


def private_contract(*, rounds: int, local_steps: int = 1, **privacy: Any) -> dict[str, Any]:
    """The demo's tasks under a budget; one shopper moves features of others, which has its own share."""
    terms = {"rounds": rounds, "full_batch": True, "local_steps": local_steps}
    return contract(federation=terms) | {
        "bottom": {"architecture": "wide"},
        "local": {"optimizer": "sgd", "learning_rate": 0.1},
        "privacy": {
            "epsilon": 8.0,
            "delta": 1e-6,
            "statistics": 0.1,
            "tasks": {"units": {"labels": "one_product"}},
            **privacy,
        },
    }


def write(folder: Path, agreement: Mapping[str, Any] | None = None, **experiment: Any) -> Path:
    """Write `tiny.toml` and its contract; return the experiment's file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.federation.toml").write_text(tomli_w.dumps(dict(agreement or contract())))
    tables = {
        "experiment": {"name": "tiny", "contract": "tiny.federation.toml", "validate_every": 1, **experiment},
        "market": MARKET,
        "baselines": {"networks": False, "epochs": 2, "hidden": [8]},
    }
    (folder / "tiny.toml").write_text(tomli_w.dumps(tables))
    return folder / "tiny.toml"


def site(folder: Path, agreement: Mapping[str, Any] | None = None, *, merchants: int = 3) -> Site:
    """Write the shops' folders and their contract; return where they lie."""
    market = read(SyntheticMarket(**MARKET | {"merchants": merchants}))  # type: ignore[arg-type]
    written = partition.write(market, folder / "merchants")
    path = folder / "federation.toml"
    path.write_text(tomli_w.dumps(dict(agreement or contract())))
    return Site(contract=path, merchants=dict(zip(market.merchants, written, strict=True)))


def released(directory: Path) -> SharedArrays:
    """The shared arrays of the last checkpoint of a training."""
    found = checkpoint.latest(directory)
    assert found is not None
    return {name: array.astype(np.float32) for name, array in found.progress.iterate.items()}


def same(a: SharedArrays, b: SharedArrays) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def fingerprint(path: Path) -> str:
    return load_federation(path).fingerprint


def forget(site: Site) -> None:
    """Remove what the merchants remember, so that another training of the same lineage begins afresh."""
    for path in site.merchants.values():
        shutil.rmtree(path.parent / "state")
