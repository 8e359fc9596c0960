"""One head per task: logits out, never probabilities; and how each kind of task reads and judges them.

Before any training every head predicts the public constant of its task: all weights are zero and the
bias is the constant. So a merchant that never trained serves the shared prior, and a model that was never
trained serves the constant.

Notation: B rows, D width of the representation, O outputs of a task.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import schema
from .layers import Linear
from .losses import LOSSES, Losses


class Head(nn.Module):
    """`prior` travels, `own` stays: logits = prior(z) + own(z). Under the policy `local` there is no prior.

    Attributes:
        prior: The shared part, or None.
        own: The merchant's part.
        uses_prior: Whether the prior enters the logits.
        is_residual: Whether `own` corrects the prior, and so stays as it is in rounds, unless the contract
            trains residuals.
        log_variance: How uncertain the task is, s, where the contract weighs its tasks by that
            (`add_log_variance`).
        start: Bias of `own` before any training; its weight starts at zero.

    Shapes:
        z (..., B, D), logits (..., B, O).

    Guarantee: under the policy `residual`, `own` starts at exactly zero, so a merchant that never trained
    serves exactly the prior (`tests/shared_model/test_heads.py`).
    """

    def __init__(
        self,
        task: schema.Task,
        width: int,
        outputs: int,
        *,
        alone: bool = False,
        prior_start: float | None = None,
    ) -> None:
        """Make the head of `task`.

        Args:
            task: As declared.
            width: D.
            outputs: O.
            alone: Ignore the prior that the contract shares.
            prior_start: The prior's logit before any training; by default that of the task's constant.
        """
        super().__init__()
        constant = initial_logit(task)
        first = constant if prior_start is None else prior_start
        self.prior: nn.Module | None = _zero(width, outputs, bias=first) if task.head == "residual" else None
        self.uses_prior = self.is_residual = self.prior is not None and not alone
        self.start = 0.0 if self.uses_prior else constant
        self.own = _zero(width, outputs, bias=self.start)
        self.log_variance: Linear | None = None

    def add_log_variance(self) -> None:
        """Let a trained variance weigh the task; its logarithm starts at 0, where nothing changes."""
        self.log_variance = _zero(1, 1)

    @property
    def is_shared(self) -> bool:
        """Whether anything of the head travels that its logits read."""
        return self.uses_prior

    @property
    def is_weighed(self) -> bool:
        """Whether a variance weighs the task; the one that is shared does not where the merchant is alone."""
        return self.log_variance is not None and (self.uses_prior or self.prior is None)

    def weighed(self, losses: Losses) -> Losses:
        """Return what the task's rows add to training: their losses, or exp(-s) loss + s / 2.

        At its optimum exp(s) is twice the mean loss: with half the squared error, the mean squared error.

        Args:
            losses: Of the task's rows.

        Source: Kendall, Gal and Cipolla (2018), "Multi-Task Learning Using Uncertainty to Weigh Losses",
        equations 7 and 10, with s = log sigma^2.
        """
        if self.log_variance is None or not self.is_weighed:
            return losses
        s = self.log_variance(losses.value.new_ones(*losses.value.shape, 1)).squeeze(-1)
        value = (-s).exp() * losses.value + 0.5 * s
        return Losses(value.masked_fill(~losses.present, 0.0), losses.present)

    def shared(self, z: Tensor) -> Tensor:
        """Return the prior's logits for z, whether or not the head uses them.

        Raises:
            TypeError: There is no prior.
        """
        if self.prior is None:
            raise TypeError("Expected a head with a prior; under the policy local there is none.")
        logits: Tensor = self.prior(z)
        return logits

    def forward(self, z: Tensor, *, own: bool = True, prior: Tensor | None = None) -> Tensor:
        """Return the logits for z; without `own`, those of the prior, and where there is none, zeros.

        Args:
            z: Representation.
            own: Add the own part.
            prior: Logits of the prior, where the model has them already; ignored by a head that uses none.
        """
        if not self.uses_prior:
            prior = None
        elif prior is None:
            prior = self.shared(z)
        if not own:
            return z.new_zeros(*z.shape[:-1], self.own.weight.shape[-2]) if prior is None else prior
        residual: Tensor = self.own(z)
        return residual if prior is None else prior + residual


class Measure(NamedTuple):
    """How a kind of task is judged: the mean over rows of a per-row score, or the root of that mean."""

    name: str
    root: bool
    higher_is_better: bool
    row_score: Callable[[schema.Task, Tensor, Tensor], Tensor]


def outputs_of(task: schema.Task, catalogue: int = 0) -> int:
    """Return O, the number of logits of a task.

    Args:
        task: The task.
        catalogue: Items of the merchant's catalogue; read by `retrieval` alone.
    """
    if isinstance(task, schema.Multiclass):
        return len(task.classes)
    if isinstance(task, schema.Multilabel):
        return len(task.labels)
    return catalogue if isinstance(task, schema.Retrieval) else 1


def initial_logit(task: schema.Task) -> float:
    """Return the logit of the public constant that is predicted before any training."""
    if isinstance(task, schema.Binary | schema.Multilabel):
        return math.log(task.initial / (1 - task.initial))
    if isinstance(task, schema.CountTask):
        return math.log(task.initial)
    return task.initial if isinstance(task, schema.Regression) else 0.0


def measure_of(task: schema.Task) -> Measure:
    """Return how the task is judged first (`docs/contract.md` lists the measures)."""
    return _MEASURES[task.kind]


def rank_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the rank of the chosen item, from 1, shape (..., B); of equals, half stand before it.

    A score that is not a number stands before every other, so that a broken model never looks good.

    Args:
        logits: Scores of all items, shape (..., B, O).
        labels: Positions of the chosen items, shape (..., B).
    """
    chosen = logits.gather(-1, labels.long().unsqueeze(-1))
    before = (~(logits <= chosen)).sum(-1)
    return 1 + before + ((logits == chosen).sum(-1) - 1).clamp_min(0) / 2


def predicted(task: schema.Task, logits: Tensor) -> Tensor:
    """Return the prediction that logits stand for, in the shape of `logits`.

    Probabilities for binary, multiclass and multilabel, rates for count, values in natural units for
    regression, scores for retrieval.
    """
    return _PREDICTED[task.kind](task, logits)


def _zero(width: int, outputs: int, *, bias: float | None = None) -> Linear:
    layer = Linear(width, outputs, generator=torch.Generator(), bias=bias is not None)
    nn.init.zeros_(layer.weight)
    if layer.bias is not None and bias is not None:
        nn.init.constant_(layer.bias, bias)
    return layer


def _loss_score(task: schema.Task, logits: Tensor, labels: Tensor) -> Tensor:
    return LOSSES[task.kind](logits, labels)


def _square_in_transformed_units(task: schema.Task, logits: Tensor, labels: Tensor) -> Tensor:
    scale = task.scale if isinstance(task, schema.Regression) else 1.0
    return ((logits.squeeze(-1) - labels) * scale).square()


def _poisson_deviance(task: schema.Task, logits: Tensor, labels: Tensor) -> Tensor:
    return 2 * LOSSES[task.kind](logits, labels)


def _hit_at_10(task: schema.Task, logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the chosen item is one of the first ten (`rank_of`)."""
    return (rank_of(logits, labels) < 11).to(logits.dtype)


_MEASURES: dict[str, Measure] = {
    "binary": Measure("log loss", False, False, _loss_score),
    "multilabel": Measure("log loss", False, False, _loss_score),
    "multiclass": Measure("log loss", False, False, _loss_score),
    "regression": Measure("RMSE", True, False, _square_in_transformed_units),
    "count": Measure("Poisson deviance", False, False, _poisson_deviance),
    "retrieval": Measure("recall@10", False, True, _hit_at_10),
}


def _natural(task: schema.Task, logits: Tensor) -> Tensor:
    if not isinstance(task, schema.Regression):
        raise TypeError(f"Expected a regression, got {task.kind}.")
    return _INVERSES[task.transform](logits * task.scale + task.center)


_INVERSES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "log1p": torch.expm1,
    "signed_log1p": lambda x: x.sign() * x.abs().expm1(),
}

_PREDICTED: dict[str, Callable[[schema.Task, Tensor], Tensor]] = {
    "binary": lambda _, logits: logits.sigmoid(),
    "multilabel": lambda _, logits: logits.sigmoid(),
    "multiclass": lambda _, logits: logits.softmax(-1),
    "regression": _natural,
    "count": lambda _, logits: logits.exp(),
    "retrieval": lambda _, logits: logits,
}
