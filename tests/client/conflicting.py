"""Two tasks on one shared unit whose gradients conflict, in numbers that can be checked by hand."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import load, take
from shared_model.schema import Federation, parse_federation

NAN = float("nan")
PRICES = [1.0, 2.0]
LABELS = {"days": [3.0, NAN], "hours": [NAN, 1.0]}
SHARED = ("bottom.tower.layers.0.weight", "bottom.tower.layers.0.bias")
GRADIENTS = ((-2.0, -2.0), (2.0, 1.0))
"""Of the two tasks in weight and bias of the shared unit: -2 (1, 1) for days and 1 (2, 1) for hours."""


def contract(conflict: str, *, private: bool = False, **local: Any) -> Federation:
    tables = {
        "federation": {"name": "tiny", "rounds": 4, "full_batch": True, "expected_batch": 10},
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"days": {"kind": "regression"}, "hours": {"kind": "regression"}},
        "bottom": {"architecture": "shared_bottom", "hidden": [1]},
        "local": {"learning_rate": 1.0, "conflict": conflict, **local},
    }
    return parse_federation(tables | ({"privacy": {"epsilon": 8.0, "delta": 1e-6}} if private else {}))


def model(federation: Federation) -> MultiTaskModel:
    """Everything passes through unchanged: the shared unit and both heads have weight 1 and bias 0."""
    made = build(federation, generator=torch.Generator())
    ones = [SHARED[0], "heads.days.prior.weight", "heads.hours.prior.weight"]
    load(made, {SHARED[1]: torch.zeros(1), **{name: torch.ones(1, 1) for name in ones}})
    return made


def values(made: MultiTaskModel, *names: str) -> list[float]:
    return [float(value) for value in take(made, names).values()]


class Rows:
    """`client.data.examples.Examples` with the two rows."""

    rows_of = {"days": "table", "hours": "table"}  # noqa: RUF012

    def __init__(self, federation: Federation) -> None:
        self.tasks = federation.tasks

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
        return torch.arange(2)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        labels = {task: torch.tensor(label)[rows] for task, label in LABELS.items()}
        return Batch(numeric=torch.tensor(PRICES).unsqueeze(1)[rows], labels=labels)
