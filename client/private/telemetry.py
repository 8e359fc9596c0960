"""The noised sum of shoppers' losses, for a coordinator that would otherwise be blind.

Off unless the contract has `[privacy.telemetry]`; it has its own place in the budget and in the ledger.

Notation: B rows, U units, T tasks.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from shared_model import schema
from shared_model.features import Batch
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel
from shared_model.privacy.plan import TelemetryPlan

from .grid import to_grid
from .noise import Noise


def noised_losses(
    model: MultiTaskModel,
    batch: Batch,
    specs: Mapping[str, schema.Task],
    plan: TelemetryPlan,
    unit_of_row: Tensor,
    units: int,
    noise: Noise,
) -> Tensor:
    """Return sum over units of (their mean loss cut to [0, bound]) + noise, per task, float32 (T,).

    A unit's mean is over its own labelled rows; a unit without any, or whose loss is not finite, adds
    nothing. A task that the merchant does not have is noise alone.

    Guarantee: without one shopper every coordinate moves by at most `plan.bound`
    (`tests/client/private/test_training.py`).

    Args:
        model: Before the step.
        batch: Rows of the drawn units.
        specs: The merchant's tasks.
        plan: Tasks, bound, noise.
        unit_of_row: Shape (B,), in [0, units).
        units: U.
        noise: Source of the noise.
    """
    total = torch.zeros(len(plan.tasks), dtype=torch.float64)
    present = [task for task in plan.tasks if task in specs and task in batch.labels]
    with torch.no_grad():
        logits = model(batch, present) if units and present else {}
    for task, found in logits.items():
        losses = row_losses(specs[task], found, batch.labels[task])
        total[plan.tasks.index(task)] = _bounded_sum(
            losses.value, losses.present, unit_of_row, units, plan.bound
        )
    drawn = noise.normal_(torch.empty(len(plan.tasks), dtype=torch.float64))
    return to_grid(total + plan.noise_std * drawn, plan.noise_std).float()


def _bounded_sum(value: Tensor, present: Tensor, unit_of_row: Tensor, units: int, bound: float) -> Tensor:
    sums = torch.zeros(units, dtype=torch.float64).index_add_(0, unit_of_row, value.double())
    rows = torch.zeros(units, dtype=torch.float64).index_add_(0, unit_of_row, present.double())
    mean = sums / rows.clamp_min(1.0)
    return mean.where(mean.isfinite(), torch.zeros_like(mean)).clamp(0.0, bound).sum()
