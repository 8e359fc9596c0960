"""A sweep so small that it can be run in a test: two shops, two rounds, two points, two seeds."""

from pathlib import Path
from typing import Any

import tomli_w

CONTRACT: dict[str, Any] = {
    "federation": {"name": "tiny", "rounds": 2, "local_steps": 2, "expected_batch": 16},
    "local": {"optimizer": "adam", "learning_rate": 0.01},
    "features": {"price": {"kind": "numeric"}},
    "tasks": {"delivery_days": {"kind": "regression", "library": "delivery_days", "transform": "log1p"}},
    "bottom": {"architecture": "shared_bottom", "hidden": [4]},
    "tiers": {name: {"shoppers": 0, "weight": 1.0} for name in ("small", "medium", "large")},
}
EXPERIMENT: dict[str, Any] = {
    "experiment": {"name": "tiny", "contract": "federation.toml"},
    "market": {"kind": "synthetic", "merchants": 2, "max_orders": 120},
}
GRID: dict[str, list[Any]] = {"local.learning_rate": [1e-6, 0.01]}


def write(folder: Path, grid: dict[str, list[Any]] | None = None, **sweep: Any) -> Path:
    """Write a sweep with its experiment and contract; return its file."""
    tables = {"experiment": "tiny.toml", "seeds": [0, 1], **sweep, "grid": grid or GRID}
    for name, content in (("federation", CONTRACT), ("tiny", EXPERIMENT), ("sweep", {"sweep": tables})):
        (folder / f"{name}.toml").write_text(tomli_w.dumps(content))
    return folder / "sweep.toml"
