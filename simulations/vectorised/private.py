"""Private local training of a cohort: `client.private.training.train_private`, for many merchants at a time.

Every merchant draws its own units and its own noise, from the source that it would use alone and in the same
order. Norms come from the rules of `client.private.rules`, which do not look at weights: so the units of all
merchants are told apart by their numbers alone. Only the sums over a merchant's units are made here, side by
side. Tables have no lazy noise: a merchant holds the rows that it reads, which get theirs in every step; the
others get that of all steps at the end, which is the same in law.

Notation: as in the package; P trained parameters outside large tables.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from client.private.clipping import Group, coefficients
from client.private.grid import to_grid
from client.private.noise import Noise
from client.private.records import finite_units, group_norms
from client.private.rules import RULES, Use
from client.private.training import clip_groups
from client.private.units import Units
from shared_model import schema
from shared_model.layers import Record

from .draws import Draw, Drawing
from .layers import add_gradients
from .noise import Moved, NoiseOf
from .owners import owners_of
from .plain import Backed, Backward, keep_what_others_train
from .rows import Steps
from .stack import Stack


def train_private(stack: Stack, steps: Steps, drawing: Drawing, draws: Sequence[Draw]) -> None:
    """Take K noisy steps at every merchant, and round what they changed to the public grid.

    Args:
        stack: The cohort's parameters; changed in place.
        steps: Its rows, with compacted ids.
        drawing: Of its merchants: the contract, the tasks that any of them may train, and the plan.
        draws: What every merchant drew.

    Source: as `client.private.training.train_private`, whose results these are up to the rounding of floats
    where there are no tables, and in law with them (`tests/simulations/vectorised/test_private.py`).
    """
    local, plan = drawing.federation.local, drawing.plan
    assert plan is not None
    trained = drawing.trains(frozenset().union(*(draw.tasks for draw in draws)))
    groups = clip_groups(plan, list(trained.parameters))
    named = {name: group for group in groups for name in group.parameters}
    backward = Backward(stack, steps, drawing, trained, 1.0, _clipped_together(trained.tasks, named))
    moved = [Moved(block.parameter, block.names, named[block.names[0]]) for block in backward.blocks]
    group_of = {one.parameter: one.group for one in moved}
    rate, before = plan.learning_rate / plan.divisor, [one.parameter.data.clone() for one in moved]
    mine = [drawing.trains(draw.tasks).parameters for draw in draws]
    noise = NoiseOf(stack, moved, named, rate, draws, mine)
    found = list(steps)
    for number, (rows, owners) in enumerate(zip(found, owners_of(found), strict=True)):
        pulls = _pulls(moved, before, local)
        if rows.weight.shape[1]:
            _descend(backward(number, rows), owners, group_of, rate)
        noise.add(number)
        for one, pull in zip(moved, pulls, strict=False):
            one.parameter.data.sub_(pull, alpha=plan.learning_rate)
    if local.weight_decay or local.proximal:
        keep_what_others_train(stack, trained.parameters, [draw.tasks for draw in draws])
    for one, start in zip(moved, before, strict=True):
        _round(stack, one, start, rate, plan.steps, noise.sources(one.names[0]))


def _clipped_together(tasks: Sequence[str], named: Mapping[str, Group]) -> dict[str, object]:
    """Return in which clip groups every task's head is."""
    return {
        task: frozenset(group.name for name, group in named.items() if name.startswith(f"heads.{task}."))
        for task in tasks
    }


@torch.inference_mode()
def _descend(found: Backed, units: Units, group_of: Mapping[nn.Parameter, Group], rate: float) -> None:
    """Move every merchant's parameters against its sum of clipped gradients, times `rate`."""
    records, gradients, ends = found
    shape = ends[0].shape[:2]
    uses: dict[nn.Module, list[Use]] = {}
    for record, gradient in zip(records, gradients, strict=True):
        if gradient is not None:
            uses.setdefault(record.layer, []).append(_rows_first(record, gradient))
    norms = group_norms(uses, units, group_of)
    factors = {group: coefficients(norm, group.clipping_norm) for group, norm in norms.items()}
    if not _all_finite([*ends, *norms.values()]):
        finite = finite_units(found.spoken().flatten(), units)
        finite = torch.stack([finite, *(norm.isfinite() for norm in norms.values())]).all(0)
        bad = ~units.per_row(finite).view(shape)
        records, gradients = _without(records, gradients, bad)
        factors = {group: factor * finite for group, factor in factors.items()}
    kind = ends[0].dtype
    clip = {group: units.per_row(factor).to(kind).view(shape) for group, factor in factors.items()}
    done: dict[tuple[int, Group], Tensor] = {}

    def scale(gradient: Tensor, parameter: nn.Parameter, axis: int) -> Tensor:
        key = (id(gradient), group_of[parameter])
        if key not in done:  # out of place: two layers may have been handed one gradient
            done[key] = gradient * _along(clip[group_of[parameter]], gradient, axis)
        return done[key]

    add_gradients(records, gradients, {p: p.data for p in group_of}, -rate, scale)


def _all_finite(values: Sequence[Tensor]) -> bool:
    """Whether all numbers are surely finite: their sum is; it may overflow where they are."""
    return bool(torch.stack([value.detach().sum().double() for value in values]).sum().isfinite())


def _rows_first(record: Record, gradient: Tensor) -> Use:
    """Return the use of a layer with the rows of all merchants on the first axis."""
    axis = RULES[type(record.layer)].row_axis
    if axis == 0:
        return Use(record.input.flatten(0, 1), gradient.flatten(0, 1))
    read = record.input if record.input.dim() < gradient.dim() else record.input.movedim(-2, 1)
    return Use(read.flatten(0, 1), gradient.movedim(-2, 1).flatten(0, 1))


def _without(
    records: Sequence[Record], gradients: Sequence[Tensor | None], bad: Tensor
) -> tuple[list[Record], list[Tensor | None]]:
    """Return uses with zeros in the rows that are `bad`, (M, B): 0 x NaN would be NaN."""
    kept: list[Record] = []
    left: list[Tensor | None] = []
    for record, gradient in zip(records, gradients, strict=True):
        axis = 1 if RULES[type(record.layer)].row_axis == 0 else -2
        read = record.input
        if gradient is None:
            kept.append(record)
            left.append(None)
            continue
        read_axis = 1 if axis == 1 or read.dim() < gradient.dim() else 2
        kept.append(record._replace(input=read.masked_fill(_along(bad, read, read_axis), 0)))
        left.append(gradient.masked_fill(_along(bad, gradient, axis % gradient.dim()), 0))
    return kept, left


def _along(of_row: Tensor, like: Tensor, axis: int) -> Tensor:
    """Return (M, B) so that it multiplies `like`, (M, ...), whose rows are on an axis."""
    shape = [1] * like.dim()
    shape[0], shape[axis] = of_row.shape
    return of_row.view(shape)


def _pulls(moved: Sequence[Moved], before: Sequence[Tensor], local: schema.LocalTraining) -> list[Tensor]:
    """Gradients of weight decay and of the proximal term, where the step begins; none without both."""
    if not local.weight_decay and not local.proximal:
        return []
    now = [one.parameter.data for one in moved]
    return [local.weight_decay * n + local.proximal * (n - b) for n, b in zip(now, before, strict=True)]


def _round(
    stack: Stack, one: Moved, start: Tensor, rate: float, steps: int, sources: Sequence[Noise | None]
) -> None:
    """Round the change of a parameter to the public grid; of a table, also what nobody read."""
    held, std = one.parameter.data, one.group.noise_std * rate
    held.copy_(start + to_grid(held - start, std))
    if one.names[0] in stack.touched and std:

        def elsewhere(merchant: int, before: Tensor) -> Tensor:
            source = sources[merchant]
            if source is None:
                return before.clone()
            drawn = source.normal_(torch.empty_like(before))
            return before + to_grid(drawn.mul_(std * math.sqrt(steps)), std)

        stack.elsewhere(one.names[0], elsewhere)
