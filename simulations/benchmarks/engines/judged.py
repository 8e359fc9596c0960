"""Whether two engines did the same job: the loss, on rows that nobody trained on, of what they made."""

from collections.abc import Mapping

import torch

from shared_model.losses import row_losses
from shared_model.model import build
from shared_model.parameters import from_arrays
from shared_model.protocol import SharedArrays

from .work import Work

TOLERANCE = 0.02
"""Engines draw merchants and rows at random, each its own; so much the losses may differ, as a share."""


class DifferentJobError(AssertionError):
    """Engines that were to do the same job made models of different quality."""


def loss_of(work: Work, arrays: SharedArrays) -> float:
    """Return the mean over tasks of the shared prior's loss on the test rows."""
    model = build(work.contract, generator=torch.Generator().manual_seed(0))
    from_arrays(model, arrays)
    with torch.no_grad():
        logits = model(work.test, work.tasks, own=False)
    tasks = work.contract.tasks.items()
    losses = [row_losses(task, logits[t], work.test.labels[t]).value.mean() for t, task in tasks]
    return float(torch.stack(losses).mean())


def require_same_job(losses: Mapping[str, float]) -> None:
    """Require all engines to have reached the same loss.

    Args:
        losses: Engine -> test loss.

    Raises:
        DifferentJobError: They differ by more than `TOLERANCE` of the smallest; names all of them.
    """
    low, high = min(losses.values()), max(losses.values())
    if not high - low <= TOLERANCE * low:
        said = ", ".join(f"{engine} {loss:.4f}" for engine, loss in losses.items())
        raise DifferentJobError(f"The engines did not do the same job; test losses: {said}.")
