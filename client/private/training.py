"""One private round at a merchant: draw units, clip, add noise, step; nothing else shapes what leaves.

Read with `sampling.py`, `bookkeeping.py`, `noise.py` and `grid.py`: that is all of the mechanism. What it
costs is in `shared_model/privacy/`; that it is charged first is in `rounds.py`.

Notation: B rows of a step, U units drawn, T tasks, K steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from client.data.examples import PrivateExamples
from client.training import task_losses, trained_parameters, weighted_losses
from shared_model import schema
from shared_model.features import Batch
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.privacy.plan import JOINT, Plan

from .clipping import Group
from .engines import Engine, engine
from .grid import to_grid
from .noise import Noise
from .sampling import poisson
from .telemetry import noised_losses

RowLosses = Callable[[MultiTaskModel, Batch, Mapping[str, schema.Task], list[str], Tensor], Tensor]
"""`losses(model, batch, specs, tasks, weight)`, as `weighted_losses` and `losses_by_task`."""


def train_private(
    model: MultiTaskModel, rows: PrivateExamples, federation: schema.Federation, plan: Plan, noise: Noise
) -> Tensor | None:
    """Take K noisy steps; `model` then holds what may be released, and training heads with noise as well.

    Every step draws units of the merchant with probability q, clips the gradient of each unit's rows over all
    trained parameters of a clip group, sums, adds noise, divides by the public B. A merchant without a single
    row releases noise. In the end the change of every parameter is rounded to a public grid, which keeps the
    low bits of floating-point noise from telling anything (Mironov 2012).

    Guarantees:
        * Whatever the rows are, one shopper's part of a step is at most the plan's sensitivity
          (`tests/client/private/`, `tests/client/data/test_neighbours.py`).
        * The number of steps, the divisor, the rates and the noise are the plan's.
        * What leaves without noise (`Plan.told`) is computed from rows that were told and from nothing else,
          to the last bit.

    Args:
        model: Holds the round's shared parameters and the merchant's training heads; changed in place.
        rows: The private view of the merchant's training rows.
        federation: The contract.
        plan: What the merchant's tier releases.
        noise: Of sampling and of steps; it also draws which rows' vectors are hidden.

    Returns:
        The noised losses of the round, shape (T,) in the order of `plan.telemetry.tasks`; None without
        telemetry.
    """
    tasks = [task for task in rows.tasks if model.learns_in_rounds(task)]
    names = trained_parameters(model, tasks, federation.local)
    groups = clip_groups(plan, names)
    start = take(model, names)
    parts = _parts(model, groups, tasks, federation, plan, noise)
    telemetry: Tensor | None = None
    for step in range(plan.steps):
        drawn = poisson(rows.units, plan.sampling_rate, noise)
        numbers = rows.rows_of_units(drawn)
        unit_of_row = torch.searchsorted(drawn, rows.unit[numbers])
        batch, weight = rows.batch(numbers, tasks), rows.weight[numbers]
        if step == 0 and plan.telemetry is not None:
            telemetry = noised_losses(
                model, batch, rows.tasks, plan.telemetry, unit_of_row, len(drawn), noise
            )
        pull = _pull(model, names, start, federation.local)
        batch = model.encoder.with_hidden(batch, noise.uniform_)
        for part in parts:
            part.step(model, batch, rows.tasks, weight, unit_of_row, len(drawn))
        if pull:
            _release(parts)  # it pulls at parameters that have all of their noise
            _subtract(model, pull, plan.learning_rate)
    _release(parts)
    _round(model, start, groups, plan)
    return telemetry


@dataclass(frozen=True)
class _Part:
    """Those tasks of a step whose numbers are computed together.

    Attributes:
        tasks: Names.
        losses: Of their rows.
        machine: Takes the step.
        told: Read only rows that follow from what was released before. How float32 rounds a row depends on
            how many rows stand before it, so beside shoppers' rows a sum without noise would tell in its last
            bits how many of those there are.
    """

    tasks: list[str]
    losses: RowLosses
    machine: Engine
    told: bool

    def step(
        self,
        model: MultiTaskModel,
        batch: Batch,
        specs: Mapping[str, schema.Task],
        weight: Tensor,
        unit_of_row: Tensor,
        units: int,
    ) -> None:
        """Take one step on a batch of all tasks, whose rows belong to `units` units."""
        if self.told:
            labels = {task: batch.labels[task] for task in self.tasks}
            kept = torch.stack([~known.isnan() for known in labels.values()]).any(0).nonzero().squeeze(1)
            batch = replace(batch.select(kept), labels={t: known[kept] for t, known in labels.items()})
            owners, unit_of_row = torch.unique(unit_of_row[kept], return_inverse=True)
            weight, units = weight[kept], len(owners)
        losses = partial(self.losses, model, batch, specs, self.tasks, weight)
        self.machine.step(losses, unit_of_row, units)


def _parts(
    model: MultiTaskModel,
    groups: tuple[Group, ...],
    tasks: list[str],
    federation: schema.Federation,
    plan: Plan,
    noise: Noise,
) -> list[_Part]:
    """Return the tasks with noise and those without (`Plan.told`), apart from each other."""
    without = {group.name for group in plan.told}
    parts = []
    for told in (False, True):
        mine = tuple(group for group in groups if (group.name in without) is told)
        if mine or not (groups or told):
            chosen = [task for task in tasks if (task in without) is told]
            losses, machine = stepping(model, mine, chosen, federation, plan, noise)
            parts.append(_Part(chosen, losses, machine, told))
    return parts


def _release(parts: Sequence[_Part]) -> None:
    for part in parts:
        part.machine.release()


def stepping(
    model: MultiTaskModel,
    groups: tuple[Group, ...],
    tasks: list[str],
    federation: schema.Federation,
    plan: Plan,
    noise: Noise,
) -> tuple[RowLosses, Engine]:
    """Return the losses that a step needs, with a task axis under a rule for conflicts, and who takes it."""
    constants = {"learning_rate": plan.learning_rate, "divisor": plan.divisor}
    if federation.local.conflict == "none" or not tasks:
        mode = federation.privacy.engine if federation.privacy else "bookkeeping"
        return weighted_losses, engine(mode, model, groups, **constants, noise=noise)
    from .conflict import JacobianSteps  # TorchJD takes seconds to import, so only where it is asked for

    (group,) = groups  # only a wide bottom has several, and it has no conflicts
    rule = federation.local.conflict
    steps = JacobianSteps(model, group, tasks, rule, **constants, noise=noise, to_grid=to_grid)
    return losses_by_task, steps


def clip_groups(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
    """Return the clip groups over the parameters `names`; the plan's groups without any of them are left out.

    A task's group holds what belongs to its head; the joint one holds everything. Groups of tasks whose rows
    follow from what was released before (`Plan.told`) have no noise.
    """
    found = []
    for group in (*plan.groups, *plan.told):
        prefix = "" if group.name == JOINT else f"heads.{group.name}."
        mine = tuple(name for name in names if name.startswith(prefix))
        if mine:
            found.append(
                Group(
                    name=group.name,
                    parameters=mine,
                    clipping_norm=group.clipping_norm,
                    noise_std=group.noise_std,
                )
            )
    return tuple(found)


def losses_by_task(
    model: MultiTaskModel, batch: Batch, specs: Mapping[str, schema.Task], tasks: list[str], weight: Tensor
) -> Tensor:
    """Return the parts of `weighted_losses` that each task adds, shape (T, B)."""
    return torch.stack([weight * loss for loss in task_losses(model, batch, specs, model(batch, tasks))])


def _pull(
    model: MultiTaskModel, names: Sequence[str], start: Mapping[str, Tensor], local: schema.LocalTraining
) -> dict[str, Tensor]:
    """Gradient of weight decay and of the proximal term: functions of what is public already."""
    if not local.weight_decay and not local.proximal:
        return {}
    now = take(model, names)
    return {n: local.weight_decay * now[n] + local.proximal * (now[n] - start[n]) for n in names}


def _subtract(model: MultiTaskModel, pull: Mapping[str, Tensor], learning_rate: float) -> None:
    now = take(model, pull)
    load(model, {name: now[name] - learning_rate * gradient for name, gradient in pull.items()})


def _round(model: MultiTaskModel, start: Mapping[str, Tensor], groups: Sequence[Group], plan: Plan) -> None:
    trained = take(model, start)
    for group in groups:
        scale = group.noise_std * plan.learning_rate / plan.divisor
        load(model, {n: start[n] + to_grid(trained[n] - start[n], scale) for n in group.parameters})
