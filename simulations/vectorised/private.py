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
from client.private.records import finite_units, group_norms
from client.private.rules import RULES, Use
from client.private.training import clip_groups
from client.private.units import Units
from shared_model import schema
from shared_model.layers import Record

from .draws import Draw, Drawing, tables_of
from .layers import add_gradients
from .plain import Backed, Backward
from .rows import Rows, Steps
from .stack import Stack


def train_private(stack: Stack, steps: Steps, drawing: Drawing, draws: Sequence[Draw]) -> None:
    """Take K noisy steps at every merchant, and round what they changed to the public grid.

    Args:
        stack: The cohort's parameters; changed in place.
        steps: Its rows, with compacted ids.
        drawing: Of its merchants: the contract, the tasks that all of them train, and the plan.
        draws: What every merchant drew.

    Source: as `client.private.training.train_private`, whose results these are up to the rounding of floats
    where there are no tables, and in law with them (`tests/simulations/vectorised/test_private.py`).
    """
    model, local, plan = stack.model, drawing.federation.local, drawing.plan
    assert plan is not None
    trained = drawing.trains(frozenset(drawing.tasks))
    names = list(trained.parameters)
    groups = clip_groups(plan, names)
    group_of = {model.get_parameter(n): group for group in groups for n in group.parameters}
    rate = plan.learning_rate / plan.divisor
    noise = _NoiseOf(stack, groups, rate, draws)
    backward = Backward(stack, steps, drawing, trained, 1.0)
    for number, rows in enumerate(steps):
        pull = _pull(stack, names, local)
        if rows.weight.shape[1]:
            _descend(rows, backward(number, rows), group_of, rate)
        noise.add(number)
        for name, gradient in pull.items():
            model.get_parameter(name).data.sub_(gradient, alpha=plan.learning_rate)
    for group in groups:
        for name in group.parameters:
            _round(stack, name, group.noise_std * rate, plan.steps, draws)


def _descend(rows: Rows, found: Backed, group_of: Mapping[nn.Parameter, Group], rate: float) -> None:
    """Move every merchant's parameters against its sum of clipped gradients, times `rate`."""
    records, gradients, _ = found
    units = _numbered(rows)
    uses: dict[nn.Module, list[Use]] = {}
    for record, gradient in zip(records, gradients, strict=True):
        if gradient is not None:
            uses.setdefault(record.layer, []).append(_rows_first(record, gradient))
    norms = group_norms(uses, units, group_of)
    finite = finite_units(found.spoken().flatten(), units)
    for norm in norms.values():
        finite = finite & norm.isfinite()
    if not finite.all():
        bad = ~units.per_row(finite).view(rows.weight.shape)
        records, gradients = _without(records, gradients, bad)
    clip = {
        group: units.per_row(coefficients(norm, group.clipping_norm) * finite).view(rows.weight.shape)
        for group, norm in norms.items()
    }
    done: dict[tuple[int, Group], Tensor] = {}

    def scale(gradient: Tensor, parameter: nn.Parameter, axis: int) -> Tensor:
        key = (id(gradient), group_of[parameter])
        if key not in done:  # out of place: two layers may have been handed one gradient
            done[key] = gradient * _along(clip[group_of[parameter]], gradient, axis)
        return done[key]

    add_gradients(records, gradients, {p: p.data for p in group_of}, -rate, scale)


def _numbered(rows: Rows) -> Units:
    """Number the units of all merchants in turn; every row that is not there is a unit of its own."""
    assert rows.unit is not None
    counts = torch.tensor(rows.units)
    first = (counts.cumsum(0) - counts).unsqueeze(1)
    absent = rows.unit < 0
    owners = torch.where(absent, absent.flatten().cumsum(0).view(absent.shape) - 1, rows.unit + first)
    total = int(counts.sum())
    return Units((owners + absent * total).flatten(), total + int(absent.sum()))


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
    return of_row.view(shape).to(like.dtype) if of_row.is_floating_point() else of_row.view(shape)


class _NoiseOf:
    """Adds the noise of a step to the parameters of a cohort."""

    def __init__(self, stack: Stack, groups: Sequence[Group], rate: float, draws: Sequence[Draw]) -> None:
        self._sources = [d.source for d in draws if d.source is not None]
        tables = tables_of(stack.model)
        found = [(name, group.noise_std * rate) for group in groups for name in group.parameters]
        held = {name: stack.model.get_parameter(name).data for name, _ in found}
        self._dense = [(held[name], std) for name, std in found if name not in tables]
        self._tables = [(held[name], std) for name, std in found if name in tables and std]
        self._sizes = [value[0].numel() for value, _ in self._dense]
        drawn = [d.noise for d in draws if d.noise is not None]
        self._drawn = torch.stack(drawn, 1) if self._dense else torch.empty(0)

    def add(self, step: int) -> None:
        """Add to every number the noise of its group."""
        if self._dense:
            parts = torch.split(self._drawn[step], self._sizes, 1)
            for (value, std), part in zip(self._dense, parts, strict=True):
                value.sub_(part.view_as(value), alpha=std)
        for value, std in self._tables:
            for merchant, source in zip(value, self._sources, strict=True):
                merchant.add_(source.normal_(torch.empty_like(merchant)), alpha=std)


def _pull(stack: Stack, names: Sequence[str], local: schema.LocalTraining) -> dict[str, Tensor]:
    """Gradient of weight decay and of the proximal term, where the step begins."""
    if not local.weight_decay and not local.proximal:
        return {}
    now = {name: stack.model.get_parameter(name).data for name in names}
    return {n: local.weight_decay * now[n] + local.proximal * (now[n] - stack.start(n)) for n in names}


def _round(stack: Stack, name: str, std: float, steps: int, draws: Sequence[Draw]) -> None:
    """Round the change of a parameter to the public grid; of a table, also what nobody read."""
    held, start = stack.model.get_parameter(name).data, stack.start(name)
    held.copy_(start + to_grid(held - start, std))
    if name in stack.touched and std:

        def elsewhere(merchant: int, before: Tensor) -> Tensor:
            source = draws[merchant].source
            assert source is not None
            drawn = source.normal_(torch.empty_like(before))
            return before + to_grid(drawn.mul_(std * math.sqrt(steps)), std)

        stack.elsewhere(name, elsewhere)
