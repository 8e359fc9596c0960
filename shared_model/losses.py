"""What each kind of task loses by its logits, row by row, and the gradient of that.

Notation: B rows, O outputs of a task, L labels of a multilabel task.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import schema
from .blocks import softmax


class Losses(NamedTuple):
    """Per-row losses, zero where there is no label, and which rows have one; both of shape (..., B)."""

    value: Tensor
    present: Tensor


def row_losses(task: schema.Task, logits: Tensor, labels: Tensor) -> Losses:
    """Return the training loss of every row.

    Args:
        task: Decides the loss: logistic (binary, multilabel: mean over labels), softmax cross-entropy
            (multiclass, retrieval), half the squared error (regression), half the Poisson deviance (count).
            None of them is ever below zero.
        logits: Shape (..., B, O).
        labels: As in `Batch.labels`, NaN where there is none.

    Guarantee: the loss of a row depends on that row alone, so a gradient per unit exists; a row without a
    label contributes exactly zero (`tests/shared_model/test_losses.py`).
    """
    missing = labels.isnan()
    loss = LOSSES[task.kind](logits, labels.nan_to_num(0.0))
    if missing.dim() > loss.dim():
        missing = missing.any(-1)
    return Losses(loss.masked_fill(missing, 0.0), ~missing)


def row_gradients(task: schema.Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of every row's loss with respect to its logits, shape (..., B, O); a new tensor.

    Args:
        task: As in `row_losses`.
        logits: Shape (..., B, O).
        labels: As in `Batch.labels`, without NaN: a row without a label has any, and no use for its gradient.

    Guarantee: what autograd makes of `row_losses` (`tests/shared_model/test_losses.py`).
    """
    return _GRADIENTS[task.kind](logits, labels)


def _logistic(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits.squeeze(-1), labels, reduction="none")


def _logistic_mean(logits: Tensor, labels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(-1)


def _softmax(logits: Tensor, labels: Tensor) -> Tensor:
    chosen = logits.gather(-1, labels.long().unsqueeze(-1)).squeeze(-1)
    return logits.logsumexp(-1) - chosen


def _half_square(logits: Tensor, labels: Tensor) -> Tensor:
    return 0.5 * (logits.squeeze(-1) - labels).square()


def _poisson(logits: Tensor, labels: Tensor) -> Tensor:
    log_rate = logits.squeeze(-1)
    return log_rate.exp() - labels * log_rate + torch.xlogy(labels, labels) - labels


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary": _logistic,
    "multilabel": _logistic_mean,
    "multiclass": _softmax,
    "retrieval": _softmax,
    "regression": _half_square,
    "count": _poisson,
}
"""Kind of task -> `loss(logits, labels)` of rows that all have a label, shape (..., B)."""


def _logistic_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.sigmoid().sub_(labels.unsqueeze(-1))


def _logistic_mean_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.sigmoid().sub_(labels).div_(labels.shape[-1])


def _softmax_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    chosen = labels.long().unsqueeze(-1)
    return softmax(logits).scatter_add_(-1, chosen, logits.new_full((), -1.0).expand(chosen.shape))


def _half_square_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    return logits - labels.unsqueeze(-1)


def _poisson_gradient(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.exp().sub_(labels.unsqueeze(-1))


_GRADIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary": _logistic_gradient,
    "multilabel": _logistic_mean_gradient,
    "multiclass": _softmax_gradient,
    "retrieval": _softmax_gradient,
    "regression": _half_square_gradient,
    "count": _poisson_gradient,
}
