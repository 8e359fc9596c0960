"""A small market in memory: ragged shops with some of the tasks each, drawn from seeds."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.repeats import Earlier
from shared_model.schema import Federation, Retrieval, parse_federation
from simulations.vectorised.table import Table

NAN = float("nan")
ALL = ("buy", "value", "kind", "tags", "units")

FEATURES: dict[str, Any] = {
    "age": {"kind": "numeric", "hinges": [0.5], "flag_missing": True},
    "price": {"kind": "numeric"},
    "city": {"kind": "categorical", "buckets": 8, "width": 3},
    "item": {"kind": "categorical", "buckets": 4000, "width": 4},
    "history": {"kind": "sequence", "of": ["item"], "max_length": 3},
}
TASKS: dict[str, Any] = {
    "buy": {"kind": "binary"},
    "value": {"kind": "regression", "weight": 0.5},
    "kind": {"kind": "multiclass", "classes": ["a", "b", "c"]},
    "tags": {"kind": "multilabel", "labels": ["x", "y"]},
    "units": {"kind": "count"},
}
CATALOGUES = (7, 40, 3, 13, 24)
"""Items that shops of these numbers sell."""
BOTTOMS: dict[str, dict[str, Any]] = {
    "wide": {"architecture": "wide"},
    "shared_bottom": {"architecture": "shared_bottom", "hidden": [8, 6]},
    "mmoe": {"architecture": "mmoe", "experts": 3, "hidden": [8, 6]},
    "ple": {"architecture": "ple", "experts": 2, "task_experts": 1, "hidden": [8, 6]},
    "cascade": {"architecture": "cascade", "hidden": [6], "chain": ["buy", "late"]},
    "task_embedding": {"architecture": "task_embedding", "hidden": [8, 6], "width": 3},
}


def contract(architecture: str = "shared_bottom", **changes: Any) -> Federation:
    """Return a contract over all features and tasks; `changes` add to its tables."""
    tables: dict[str, Any] = {
        "federation": {"name": "made-up", "rounds": 20, "local_steps": 4, "expected_batch": 10},
        "local": {"learning_rate": 0.1},
        "features": FEATURES,
        "tasks": TASKS | ({"late": {"kind": "binary", "initial": 0.2}} if architecture == "cascade" else {}),
        "bottom": BOTTOMS[architecture],
    }
    for key, value in changes.items():
        tables[key] = {**tables.get(key, {}), **value}
    return parse_federation(tables)


def shop(federation: Federation, number: int, *, rows: int, dtype: torch.dtype = torch.float64) -> Table:
    """Return a shop with so many rows; which tasks it has depends on its number."""
    random = torch.Generator().manual_seed(number)
    wanted = [t for place, t in enumerate(federation.tasks) if (place + number) % 3 or place == number % 5]
    catalogues = {t: CATALOGUES[number] for t in wanted if isinstance(federation.tasks[t], Retrieval)}
    ids = torch.randint(0, 4000, (rows, 4), generator=random)
    encoded = Batch(
        numeric=torch.randn(rows, 2, generator=random).to(dtype),
        ids={
            "city": torch.randint(0, 8, (rows,), generator=random),
            "item": ids[:, 0],
            "history.item": ids[:, 1:] * (torch.rand(rows, 3, generator=random) < 0.7),
        },
        labels={name: _labels(name, rows, random, catalogues.get(name, 2)).to(dtype) for name in wanted},
        items={name: _items(items, random).to("cpu", dtype) for name, items in catalogues.items()},
        earlier={name: _earlier(rows, items, random).to("cpu", dtype) for name, items in catalogues.items()},
    )
    encoded.numeric[::5, 0] = NAN
    unit = torch.sort(torch.randint(0, max(1, rows // 2), (rows,), generator=random)).values
    unit = torch.unique(unit, return_inverse=True)[1]
    units = int(unit.max()) + 1 if rows else 0
    return Table(
        encoded=encoded,
        tasks={t: federation.tasks[t] for t in wanted},
        unit=unit,
        units=units,
        catalogues=catalogues,
    )


def single(table: Table) -> Table:
    """Return the same rows in float32."""
    return replace(table, encoded=table.encoded.to("cpu"))


def _items(items: int, random: torch.Generator) -> Batch:
    """What items cost, where they come from and what they are."""
    return Batch(
        numeric=torch.randn(items, 1, generator=random),
        ids={
            "city": torch.randint(0, 8, (items,), generator=random),
            "item": torch.randint(0, 4000, (items,), generator=random),
        },
    )


def _earlier(rows: int, items: int, random: torch.Generator) -> Earlier:
    """Up to two different items of each shopper; a third place is empty."""
    count = torch.randint(0, 3, (rows, 1), generator=random)
    known = (torch.arange(3) < count).float()
    first = torch.randint(0, items, (rows, 1), generator=random)
    places = torch.cat([first, (first + 1) % items, torch.zeros_like(first)], 1)
    times = torch.randint(1, 4, (rows, 3), generator=random)
    days = 60 * torch.rand(rows, 3, generator=random)
    return Earlier(places * known.long(), times * known, days * known)


def _labels(task: str, rows: int, random: torch.Generator, choices: int) -> Tensor:
    if task == "value":
        labels = torch.randn(rows, generator=random)
    elif task == "tags":
        labels = (torch.rand(rows, 2, generator=random) < 0.4).float()
    else:
        labels = torch.randint(
            0, 3 if task in ("kind", "units") else choices, (rows,), generator=random
        ).float()
    labels[torch.rand(rows, generator=random) < 0.3] = NAN
    return labels
