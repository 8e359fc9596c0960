"""What one row says about a score, and the loss that is left when scores are known.

Expectations over scores are means over fixed points of a normal distribution.

Notation: M merchants, O outputs of one task, S points.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, xlogy

from shared_model import schema

Floats = NDArray[np.float64]

_POINTS = 256
_COUNTS = 120  # Poisson numbers that are summed over; beyond a rate of 60 the limit holds


class Information(NamedTuple):
    """What a task's rows say.

    Attributes:
        per_row: Second derivative of the loss of a row by each score, shape (M, O).
        floor: Loss that no model beats, in the task's measure (regression: its square), shape (M,).
    """

    per_row: Floats
    floor: Floats


def information(task: schema.Task, level: Floats, variance: Floats, noise: float) -> Information:
    """Return what rows of a task say at merchants.

    Args:
        task: A task other than a choice of items.
        level: Mean of the scores, shape (M, O).
        variance: Of the scores over rows, shape (O,).
        noise: Of a number, in spreads.
    """
    return _FOUND[task.kind](_scores(level, variance), noise)


def _scores(level: Floats, variance: Floats) -> Floats:
    """Scores at the points, shape (M, O, S): the same quantiles for every output, in an order of its own."""
    quantiles = ndtri((np.arange(_POINTS) + 0.5) / _POINTS)
    order = np.random.default_rng(0)
    points = np.stack([order.permutation(quantiles) for _ in variance])
    return np.asarray(level[:, :, None] + np.sqrt(variance)[:, None] * points)


def _binary(scores: Floats, noise: float) -> Information:
    chance = 1 / (1 + np.exp(-scores))
    entropy = -xlogy(chance, chance) - xlogy(1 - chance, 1 - chance)
    return Information((chance * (1 - chance)).mean(2), entropy.mean((1, 2)))


def _regression(scores: Floats, noise: float) -> Information:
    per_row = np.full(scores.shape[:2], 1 / noise**2)
    return Information(per_row, np.full(len(scores), noise**2))


def _count(scores: Floats, noise: float) -> Information:
    rate = np.exp(np.minimum(scores, np.log(_COUNTS / 2)))
    half_deviance, chance = np.zeros_like(rate), np.exp(-rate)
    for number in range(_COUNTS):
        half_deviance += chance * (xlogy(number, number / rate) - number + rate)
        chance = chance * rate / (number + 1)
    return Information(np.exp(scores).mean(2), half_deviance.mean((1, 2)))


def _multiclass(scores: Floats, noise: float) -> Information:
    chance = np.exp(scores - scores.max(1, keepdims=True))
    chance /= chance.sum(1, keepdims=True)
    return Information((chance * (1 - chance)).mean(2), -xlogy(chance, chance).sum(1).mean(1))


_FOUND: dict[str, Callable[[Any, float], Information]] = {
    "binary": _binary,
    "multilabel": _binary,
    "regression": _regression,
    "count": _count,
    "multiclass": _multiclass,
}
