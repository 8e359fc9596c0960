"""A handful of private rows with one number each, and the plan of a merchant that has them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.privacy.plan import GroupPlan, Plan
from shared_model.schema import Federation, Task, parse_federation


def contract(**tables: Any) -> Federation:
    given: dict[str, Any] = {
        "federation": {
            "name": "tiny",
            "rounds": 4,
            "local_steps": 1,
            "full_batch": True,
            "expected_batch": 10,
        },
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"days": {"kind": "regression"}},
        "bottom": {"architecture": "wide"},
        "local": {"learning_rate": 1.0},
        "privacy": {"epsilon": 8.0, "delta": 1e-6},
    }
    return parse_federation({**given, **tables})


def plan(**changes: Any) -> Plan:
    """Without noise, with a bound that nothing reaches, B = 10 and a learning rate of 1."""
    facts: dict[str, Any] = {
        "tier": "any",
        "unit": "shopper",
        "max_records": 8,
        "epsilon": 8.0,
        "delta": 1e-6,
        "sampling_rate": 1.0,
        "steps": 1,
        "rounds": 4,
        "divisor": 10.0,
        "learning_rate": 1.0,
        "groups": (group("days"),),
        "statistics_multiplier": None,
        "telemetry": None,
    }
    return Plan(**{**facts, **changes})


def group(name: str, *, clipping_norm: float = 100.0, noise_multiplier: float = 0.0) -> GroupPlan:
    return GroupPlan(
        name=name,
        clipping_norm=clipping_norm,
        sensitivity=clipping_norm,
        noise_multiplier=noise_multiplier,
    )


@dataclass
class Rows:
    """Stands for `client.data.private_rows.PrivateRows`; owners ascend."""

    tasks: Mapping[str, Task]
    owners: Sequence[int]
    prices: Sequence[float]
    labels: Mapping[str, Sequence[float]]
    weights: Sequence[float] = ()
    units: int = 0
    numeric: Tensor | None = None
    """Of all features, shape (N, features), in the place of the prices."""
    read: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.unit = torch.tensor(self.owners, dtype=torch.int64)
        self.weight = torch.tensor(self.weights or [1.0] * len(self.owners))
        self.units = self.units or len(set(self.owners))

    def rows_of_units(self, drawn: Tensor) -> Tensor:
        return torch.isin(self.unit, drawn).nonzero().squeeze(1)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        self.read.append(rows)
        wanted = self.labels if tasks is None else tasks
        return Batch(
            numeric=(torch.tensor(self.prices).reshape(-1, 1) if self.numeric is None else self.numeric)[
                rows
            ],
            labels={t: torch.tensor(self.labels[t])[rows] for t in wanted},
        )
