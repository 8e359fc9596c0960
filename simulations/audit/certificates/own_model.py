"""The contract's own model, as it trains: features, bottom and heads, under the contract's clip groups.

The laboratory's model shows that the mechanism is right; this shows that it is right about this model. Every
use of every parameter must be seen by the clip, and no row may reach another row's loss.
"""

from dataclasses import replace

import torch
from torch import Tensor

from client.training import weighted_losses
from shared_model import schema
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import take
from shared_model.privacy.plan import clipped_tasks

from ..findings import Finding
from ..made_up import some_batch
from ..mechanism import HONEST, Mechanism, jacobian, release
from ..silence import silent
from ..subject import Subject
from ..workload import Workload, at, beside, without
from .sensitivity import TOLERANCE

_UNITS, _ROWS = 4, 3
"""Shoppers, and rows of each."""

_SCALES = (1.0, 4.0, 1e4)
_LOUD = 2.0**10
"""Learning rate, so that a float's rounding of weights does not hide in their change."""


def own_model(subject: Subject) -> tuple[Finding, ...]:
    """Return how far one shopper's rows move a step of the contract's model, and another row's loss."""
    model = build(subject.federation, generator=subject.generator("own model"))
    spill = _spill(subject, model)
    moves = [_moved(subject, model, scale) for scale in _SCALES]
    return (
        Finding(
            name="model.sensitivity",
            value=max(moves),
            high=1 + TOLERANCE,
            says="Largest part of a step of the contract's own model that one shopper makes up.",
        ),
        Finding(
            name="model.coupling",
            value=spill,
            high=TOLERANCE,
            says="Largest change of a row's loss in the contract's own model when another row changes.",
        ),
    )


def _moved(subject: Subject, model: MultiTaskModel, scale: float) -> float:
    """Return the distance that the last shopper makes, in the claimed noise, over the claimed distance."""
    plan = replace(subject.step, divisor=1.0, learning_rate=_LOUD)
    silenced = replace(subject.mechanism, noise=silent, to_grid=lambda change, std: change)
    start = take(model, [name for name, _ in model.named_parameters()])
    rows = _rows(subject, scale)
    if subject.federation.local.conflict != "none":
        return _moved_before_the_rule(silenced, subject, model, rows)
    there, absent = (
        release(silenced, model, data, subject.federation, plan, subject.generator("own"), start=start)
        for data in (rows, without(rows, _UNITS - 1))
    )
    return _length(subject, {name: there[name] - absent[name] for name in there}) * plan.noise_multiplier


def _moved_before_the_rule(
    silenced: Mechanism, subject: Subject, model: MultiTaskModel, rows: Workload
) -> float:
    """Return the same for what a rule for conflicts gets to see."""
    there, absent = (
        jacobian(silenced, model, data, subject.federation, subject.step, subject.generator("own"))
        for data in (rows, without(rows, _UNITS - 1))
    )
    (group,) = subject.step.groups
    return float((there - absent).double().norm()) / group.noise_std * subject.step.noise_multiplier


def _length(subject: Subject, change: dict[str, Tensor]) -> float:
    """Return the length of a change of one shopper, every clip group in units of its noise."""
    groups = HONEST.clip_groups(subject.step, [n for n, v in change.items() if v.any()])
    squares = [
        float((change[name].double() / group.noise_std).square().sum())
        for group in groups
        for name in group.parameters
    ]
    return float(torch.tensor(squares).sum().sqrt())


def _rows(subject: Subject, scale: float) -> Workload:
    """Return rows of four shoppers; rows of items are shoppers' here, whose clip is the same."""
    generator = subject.generator("own model", f"{scale:g}")
    count = _UNITS * _ROWS
    return Workload(
        tasks=_tasks(subject),
        everything=some_batch(subject.federation, count, generator, scale=scale),
        unit=torch.arange(count) // _ROWS,
        units=_UNITS,
        weight=torch.full((count,), scale),
    )


def _tasks(subject: Subject) -> dict[str, schema.Task]:
    return {name: subject.federation.tasks[name] for name in clipped_tasks(subject.federation)}


def _spill(subject: Subject, model: MultiTaskModel) -> float:
    """Return the largest change of the other rows' losses when the first row is another one."""
    rows, tasks = _rows(subject, 1.0), list(_tasks(subject))
    first, others = torch.arange(1), torch.arange(1, len(rows.unit))
    stranger = at(_rows(subject, 4.0).everything, first, tasks)
    changed = beside(stranger, at(rows.everything, others, tasks))
    with torch.no_grad(), subject.mechanism.in_place():
        before, after = (
            weighted_losses(model, batch, rows.tasks, tasks, rows.weight)
            for batch in (rows.everything, changed)
        )
    return float((before - after)[1:].abs().max())
