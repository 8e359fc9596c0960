"""No shopper moves a step by more than was claimed, whatever the rows are.

Without noise, and with everybody drawn, two releases are compared: with one hostile shopper and without. The
distance counts every clip group in units of its claimed noise, so that groups that were accounted as one
mechanism are judged as one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from shared_model.features import Batch
from shared_model.privacy.plan import GroupPlan
from shared_model.schema import Regression

from ..findings import Finding
from ..mechanism import release
from ..silence import silent
from ..subject import Subject
from ..workload import WIDTH, Laboratory, Workload

TOLERANCE = 1e-6

_BAG, _OTHERS = 4, 3


class Row(NamedTuple):
    """One row of a laboratory's merchant.

    Attributes:
        unit: Who owns it.
        ids: Rows of the table that it reads.
        numeric: Every one of its dense inputs.
        loudness: Its gradient with respect to the logit, in clipping norms.
    """

    unit: int
    ids: tuple[int, ...]
    numeric: float
    loudness: float


HOSTILE: dict[str, tuple[Row, ...]] = {
    "huge": (Row(0, (1,), 0.0, 1e8),),
    "barely too long": (Row(0, (1,), 0.0, 1.0 + 1e-6),),
    "one id, many times": (Row(0, (1, 1, 1, 1), 0.0, 16.0),),
    "eight rows": tuple(Row(0, (i % 2 + 1,), 0.5, 16.0) for i in range(8)),
    "many small rows": tuple(Row(0, (1,), 0.0, 0.2) for _ in range(16)),
    "loud inputs": (Row(0, (1,), 1e4, 16.0),),
    "rows that almost cancel": (Row(0, (1,), 1.0, 1e4), Row(0, (1,), 1.0, -1e4 + 3.0)),
    "against all others": (Row(0, (2,), 0.0, -1e6),),
}
"""Rows of a hostile shopper; three honest ones read ids 1 and 2 at twice the clipping norm."""


def sensitivity(subject: Subject) -> tuple[Finding, ...]:
    """Return how far a hostile shopper moves a step, over what was claimed, and which one moves it most."""
    moves = {name: distance(subject, rows) for name, rows in HOSTILE.items()}
    worst = max(moves, key=lambda name: moves[name])
    return (
        Finding(
            name="sensitivity.step",
            value=moves[worst],
            high=1 + TOLERANCE,
            says=f"Largest part of a step that one shopper makes up, over the claimed one (here: {worst}).",
        ),
        Finding(
            name="sensitivity.heard",
            value=min(moves["huge"], moves["against all others"]),
            low=0.5,
            says="Part of a step that a loud shopper does make up, over the claimed one: it is heard.",
        ),
    )


def distance(subject: Subject, hostile: Sequence[Row]) -> float:
    """Return the length of what a shopper with the rows `hostile` adds to a step, 1 for the claim itself."""
    groups = subject.plan.groups
    return moved(subject, *(laboratory_rows(groups, hostile, present=there) for there in (True, False)))


def moved(subject: Subject, there: Workload, absent: Workload) -> float:
    """Return the distance of two silent releases in the claimed noise, over the claimed distance."""
    plan = replace(subject.step, divisor=1.0, learning_rate=1.0)
    silenced = replace(subject.mechanism, noise=silent, to_grid=lambda change, scale: change)
    model = Laboratory(subject.groups, 2)
    with_, without = (
        release(silenced, model, rows, subject.federation, plan, subject.generator("sensitivity"))
        for rows in (there, absent)
    )
    return weighted_length({n: with_[n] - without[n] for n in with_}, plan.groups) * plan.noise_multiplier


def weighted_length(change: Mapping[str, Tensor], groups: Sequence[GroupPlan]) -> float:
    """Return the length of a change with every group in units of its noise."""
    std = {group.name: group.noise_std for group in groups}
    squares = [float((v.double() / std[name.split(".")[1]]).square().sum()) for name, v in change.items()]
    return math.sqrt(sum(squares))


def laboratory_rows(groups: Sequence[GroupPlan], hostile: Sequence[Row], *, present: bool) -> Workload:
    """Return the rows of three honest shoppers and, where it is present, the hostile one, who comes last.

    Where rows belong to items, the hostile shopper turns its product's loudness round instead.
    """
    honest = [Row(1 + i, (1 + i % 2,), 0.0, 2.0) for i in range(_OTHERS)]
    flips = [group for group in groups if group.sensitivity > group.clipping_norm]
    turned = [row._replace(unit=0, loudness=row.loudness * (1 if present else -1)) for row in hostile]
    products = turned if flips else []
    mine = [row._replace(unit=1 + _OTHERS) for row in hostile] if present else []
    rows = [*products, *honest, *mine]
    return Workload(
        tasks={group.name: Regression(kind="regression") for group in groups},
        everything=Batch(
            numeric=torch.tensor([[row.numeric] * WIDTH for row in rows]),
            ids={"canary": torch.tensor([row.ids + (0,) * (_BAG - len(row.ids)) for row in rows])},
            labels={g.name: _labels(g, rows, len(products), g in flips) for g in groups},
        ),
        unit=torch.tensor([row.unit for row in rows]),
        units=1 + _OTHERS + present,
        weight=torch.ones(len(rows)),
    )


def _labels(group: GroupPlan, rows: Sequence[Row], products: int, item: bool) -> Tensor:
    """Half the squared error at a logit of 0 has the gradient -label; no label, no gradient."""
    labels = torch.tensor([-row.loudness * group.clipping_norm for row in rows])
    labels[slice(products, None) if item else slice(products)] = torch.nan
    return labels
