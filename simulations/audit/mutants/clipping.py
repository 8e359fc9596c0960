"""Broken bounds on what one shopper can move: no clip, the wrong clip, or a scale that looks at the rows."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from client.private.clipping import Group
from shared_model import schema
from shared_model.losses import Losses, row_losses
from shared_model.privacy.plan import Plan
from simulations.audit.mechanism import HONEST, Mechanism

from .wrapped import Wrapped


def _no_clip(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
    return tuple(replace(group, clipping_norm=float("inf")) for group in HONEST.clip_groups(plan, names))


def _clip_per_layer(plan: Plan, names: Sequence[str]) -> tuple[Group, ...]:
    """Every parameter gets a whole clipping norm, and the noise of one."""
    return tuple(
        replace(group, name=name, parameters=(name,))
        for group in HONEST.clip_groups(plan, names)
        for name in group.parameters
    )


class _ClipPerBatch(Wrapped):
    """The sum of the whole batch is clipped, as if one shopper owned all rows."""

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        self.take(losses, torch.zeros_like(unit_of_row), 1)


class _SkipsBrokenSteps(Wrapped):
    """A step whose loss is not finite is not taken."""

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        with torch.no_grad():
            sound = not len(unit_of_row) or bool(losses().isfinite().all())
        if sound:
            self.take(losses, unit_of_row, units)


def _divisor_from_n(plan: Plan, units: int) -> Plan:
    return replace(plan, divisor=max(1.0, float(round(units * plan.sampling_rate))))


def _broadcast(task: schema.Task, logits: Tensor, labels: Tensor) -> Losses:
    """Half the squared error of predictions (B, 1) against labels (B,): a matrix, and then its mean."""
    honest = row_losses(task, logits, labels)
    if not isinstance(task, schema.Regression):
        return honest
    return Losses(0.5 * (logits - labels.nan_to_num(0.0)).square().mean(-1), honest.present)


MUTANTS: dict[str, Callable[[], Mechanism]] = {
    "no clip": lambda: replace(HONEST, clip_groups=_no_clip),
    "clip per batch": lambda: replace(HONEST, engine=_ClipPerBatch),
    "per-layer clip accounted as one": lambda: replace(HONEST, clip_groups=_clip_per_layer),
    "broken steps skipped": lambda: replace(HONEST, engine=_SkipsBrokenSteps),
    "divisor from n": lambda: replace(HONEST, plan=_divisor_from_n),
    "[B, 1] loss broadcast": lambda: replace(HONEST, row_losses=_broadcast),
}
"""Name -> the mechanism (`simulations.audit.mutants`)."""
