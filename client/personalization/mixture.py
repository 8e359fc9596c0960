"""A convex combination of what two models predict: probability, rate or value, never logits.

Both ways have a convex training loss, so a mixture is never worse than the parts' losses, averaged with the
same weights. In the space of predictions there is more: with weight u on the second part, a row's log loss is
at most -log(1 - u) above the first part's, however wrong the second one is, since probabilities only add up.
An average of logits has no such bound: one far-off logit is enough. Do no harm decides between the two.

A mixture of calibrated forecasts is a little under-confident (Ranjan and Gneiting 2010), the price of it.

Source: Cesa-Bianchi and Lugosi (2006), "Prediction, Learning, and Games", section 9.2 (the mixture forecaster
under log loss).

Notation: B rows, O outputs, u weight of the second part.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from shared_model import schema
from shared_model.heads import predicted
from shared_model.losses import row_losses

SHRINKAGE = 50.0
"""Imagined rows, spread over the real ones, that are just as the first part predicts."""
_WEIGHTS = tuple(i / 20 for i in range(20))


def mixed(task: schema.Task, first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Return the logits of (1 - u) times the first prediction plus u times the second, shape (B, O).

    Weight 0 returns the first logits themselves, weight 1 the second.

    Raises:
        ValueError: The weight is not between 0 and 1.
        KeyError: The task is a retrieval, whose scores are no prediction to be added.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"Expected a weight between 0 and 1, got {weight}.")
    if weight in (0, 1):
        return second if weight else first
    return _MIXED[task.kind](first, second, weight)


def chosen_weight(task: schema.Task, first: Tensor, second: Tensor, labels: Tensor) -> float:
    """Return the weight of the second part that fits these rows best, shrunk towards the first part.

    Minimises, over u = 0, .05, ..., .95, the sum of row losses plus `SHRINKAGE` times the mean loss of rows
    that are drawn from what the first part predicts: to those, every weight but 0 is an error. With squared
    errors that is the least-squares weight times n / (n + SHRINKAGE). Without rows the weight is 0.

    Args:
        task: Decides loss and mixture.
        first: Logits of the part that stays in doubt, shape (B, O).
        second: Logits of the other part.
        labels: As in `Batch.labels`, of rows that neither part was trained on.
    """
    if not len(labels):
        return 0.0

    def cost(weight: float) -> float:
        logits = mixed(task, first, second, weight)
        real = row_losses(task, logits, labels).value.double()
        imagined = _expected_losses(task, logits, first).double()
        total = float(real.sum() + SHRINKAGE * imagined.mean())
        return total if math.isfinite(total) else math.inf

    return min(_WEIGHTS, key=cost)


def _expected_losses(task: schema.Task, logits: Tensor, truth: Tensor) -> Tensor:
    """Mean loss of `logits` over labels that are drawn as the logits `truth` predict, shape (B,).

    All losses but the softmax's and the squared error's are linear in the label; the latter's is so up to a
    constant.
    """
    if task.kind == "multiclass":
        return -(truth.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    label = truth if task.kind == "regression" else predicted(task, truth)
    return row_losses(task, logits, label if task.kind == "multilabel" else label.squeeze(-1)).value


def _log_sum(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """log((1 - u) exp(first) + u exp(second))."""
    return torch.logaddexp(first + math.log1p(-weight), second + math.log(weight))


def _probabilities(first: Tensor, second: Tensor, weight: float) -> Tensor:
    yes = _log_sum(F.logsigmoid(first), F.logsigmoid(second), weight)
    return yes - _log_sum(F.logsigmoid(-first), F.logsigmoid(-second), weight)


def _distributions(first: Tensor, second: Tensor, weight: float) -> Tensor:
    return _log_sum(first.log_softmax(-1), second.log_softmax(-1), weight)


def _values(first: Tensor, second: Tensor, weight: float) -> Tensor:
    return torch.lerp(first, second, weight)


_MIXED: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "binary": _probabilities,
    "multilabel": _probabilities,
    "multiclass": _distributions,
    "regression": _values,
    "count": _log_sum,
}
