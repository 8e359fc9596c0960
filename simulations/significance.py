"""Which of many differences are real? Standard errors over shoppers, and a bound on false discoveries.

A map of merchants and tasks holds dozens of comparisons; at 95 % each, one in twenty would seem a gain or
a loss where there is none. `discoveries` bounds the expected share of such among all that are called one.

Notation: n rows, U shoppers, m comparisons.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from .statistics import Statistic, Verdict

Floats = NDArray[np.float64]
RATE = 0.05
"""Expected share of false discoveries that a map bears."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much a second method is better than a first on the same rows.

    Attributes:
        estimate: Above zero, the second is better; NaN without rows.
        standard_error: Over shoppers; NaN with fewer than two.
        shoppers: U.
    """

    estimate: float
    standard_error: float
    shoppers: int

    @property
    def p_value(self) -> float:
        """Chance of an estimate as far from zero where there is no difference; 1 where it is not known.

        By Student's t with U - 1 degrees of freedom, since with few shoppers the error itself is uncertain.

        >>> Difference(estimate=0.0, standard_error=0.1, shoppers=30).p_value
        1.0
        """
        if math.isnan(self.standard_error) or self.estimate == 0:
            return 1.0
        if self.standard_error == 0:
            return 0.0
        return float(2 * stats.t.sf(abs(self.estimate) / self.standard_error, self.shoppers - 1))


def difference(
    first: ArrayLike, second: ArrayLike, owners: ArrayLike, *, statistic: Statistic = "mean"
) -> Difference:
    """Return first - second of two methods' mean losses (or of the roots of them), with its standard error.

    The error is that of the linearised statistic with whole shoppers as units (Efron and Tibshirani 1993,
    chapter 21, the delta method); the bootstrap of `simulations.statistics` estimates the same by drawing.

    Args:
        first: One loss per row, shape (n,); squared errors when `statistic` is `rmse`.
        second: The other method's on the same rows, shape (n,).
        owners: Whose each row is, shape (n,).
        statistic: `mean`, or `rmse` for the root of it.
    """
    left, right = np.asarray(first, np.float64), np.asarray(second, np.float64)
    known = ~(np.isnan(left) | np.isnan(right))
    left, right, theirs = left[known], right[known], np.asarray(owners)[known]
    if not len(left):
        return Difference(estimate=math.nan, standard_error=math.nan, shoppers=0)
    estimate, influence = _LINEARISED[statistic](left, right)
    names, position = np.unique(theirs, return_inverse=True)
    of_shoppers = np.bincount(position, influence, minlength=len(names)) / len(left)
    count = len(names)
    error = math.sqrt(count / (count - 1) * float(np.square(of_shoppers).sum())) if count > 1 else math.nan
    return Difference(estimate=estimate, standard_error=error, shoppers=count)


def discoveries(p_values: ArrayLike, rate: float = RATE) -> NDArray[np.bool_]:
    """Return which of m comparisons count, so that on average at most `rate` of those are false.

    Benjamini and Hochberg 1995, procedure (1). It holds where the comparisons are independent or go up and
    down together (Benjamini and Yekutieli 2001, theorem 1.2), as those of one shopper's tasks do.

    >>> discoveries([0.01, 0.02, 0.9]).tolist()
    [True, True, False]
    >>> discoveries([0.04, 0.9, 0.9]).tolist()
    [False, False, False]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / max(len(p), 1))
    found = np.zeros(len(p), dtype=bool)
    found[order[: passed[-1] + 1 if len(passed) else 0]] = True
    return found


def verdicts(differences: list[Difference], rate: float = RATE) -> list[Verdict]:
    """Return what a map says of each of its comparisons: `discoveries` of either sign."""
    real = discoveries([one.p_value for one in differences], rate)
    return [
        _SIGNS[one.estimate > 0] if r else "cannot tell" for one, r in zip(differences, real, strict=True)
    ]


class _Linear(NamedTuple):
    """A statistic, and by how much each row moves it, times n; the latter shape (n,)."""

    estimate: float
    influence: Floats


def _of_means(first: Floats, second: Floats) -> _Linear:
    rows = first - second
    return _Linear(float(rows.mean()), rows - rows.mean())


def _of_roots(first: Floats, second: Floats) -> _Linear:
    parts = [_root(losses) for losses in (first, second)]
    return _Linear(parts[0].estimate - parts[1].estimate, parts[0].influence - parts[1].influence)


def _root(losses: Floats) -> _Linear:
    mean = float(losses.mean())
    root = math.sqrt(mean)
    return _Linear(root, (losses - mean) / (2 * root) if root else np.zeros_like(losses))


_LINEARISED: dict[Statistic, Callable[[Floats, Floats], _Linear]] = {"mean": _of_means, "rmse": _of_roots}
_SIGNS: dict[bool, Verdict] = {True: "gains", False: "loses"}
