"""How sure are we? Bootstrap intervals for differences between two methods on the same rows.

Notation: n rows, U units (shoppers), M merchants, R resamples. A unit's rows come and go together in every
resample, since they are not independent of one another (Efron and Tibshirani 1993, chapter 8).
All intervals are percentile intervals (the same, chapter 13), at 95 % where nothing else is asked for.

Edge cases:
    Rows with a NaN on either side are left out on both. With fewer than two units there is nothing to
    resample: the bounds are NaN, and `verdict` cannot tell.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared_model._validate import positive

Statistic = Literal["mean", "rmse"]
Verdict = Literal["gains", "loses", "cannot tell"]
Floats = NDArray[np.float64]

_CHUNK = 2**22  # drawn indices held at once: 32 MiB, whatever the number of units


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate between two bounds, NaN where they could not be computed."""

    estimate: float
    low: float
    high: float


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    generator: np.random.Generator,
    statistic: Statistic = "mean",
    units: ArrayLike | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return the difference first - second of two methods' losses on the same rows.

    With losses of training alone as `first` and of federated training as `second`, above zero means a gain.

    Args:
        first: One loss per row, shape (n,); squared errors when `statistic` is `rmse`.
        second: The other method's losses on the same rows, shape (n,).
        generator: Draws the resamples.
        statistic: `mean` of the losses, or `rmse`, the root of it, taken in every resample.
        units: Who each row belongs to, shape (n,), any values; None: every row stands for itself.
        resamples: R.
        confidence: Of the interval. Bounds of one of m intervals that shall all hold together at 95 % need
            1 - 0.05 / m (Bonferroni), and R large enough that some resamples lie beyond each bound.

    Raises:
        ValueError: The shapes differ, `resamples` is not positive, or `confidence` is not between 0 and 1.
    """
    positive(resamples=resamples)
    if not 0 < confidence < 1:
        raise ValueError(f"Expected a confidence between 0 and 1, got {confidence}.")
    left, right = np.asarray(first, np.float64), np.asarray(second, np.float64)
    owners = np.arange(len(left)) if units is None else np.asarray(units)
    if not (left.ndim == 1 and left.shape == right.shape == owners.shape):
        raise ValueError(
            f"Expected one shape (n,), got {left.shape}, {right.shape} and units {owners.shape}."
        )
    known = ~(np.isnan(left) | np.isnan(right))
    sums = _unit_sums(left[known], right[known], owners[known])
    return _interval(sums, _DIFFERENCES[statistic], generator, resamples, confidence)


def merchant_bootstrap(
    gains: ArrayLike, *, generator: np.random.Generator, resamples: int = 2000
) -> Interval:
    """Return the mean gain over merchants, every merchant counting once.

    Says how the mean would vary over other merchants of the same kind. With fewer than about ten of them a
    percentile interval is too narrow: read it as a hint.

    Args:
        gains: One number per merchant, above zero is better, shape (M,); NaN where there is none.
        generator: Draws the resamples.
        resamples: R.
    """
    values = np.asarray(gains, np.float64)
    return paired_bootstrap(values, np.zeros_like(values), generator=generator, resamples=resamples)


def verdict(interval: Interval) -> Verdict:
    """Say what an interval of gains shows: its sign where zero lies outside.

    >>> verdict(Interval(estimate=0.2, low=0.1, high=0.3))
    'gains'
    >>> verdict(Interval(estimate=0.2, low=-0.1, high=0.5))
    'cannot tell'
    """
    if interval.low > 0:
        return "gains"
    if interval.high < 0:
        return "loses"
    return "cannot tell"


def _unit_sums(first: Floats, second: Floats, owners: NDArray[np.generic]) -> Floats:
    """Per unit: sum of first, sum of second, rows; shape (U, 3)."""
    names, position = np.unique(owners, return_inverse=True)
    columns = (first, second, np.ones_like(first))
    return np.stack([np.bincount(position, c, minlength=len(names)) for c in columns], axis=1)


def _interval(
    sums: Floats,
    difference: Callable[[Floats], Floats],
    generator: np.random.Generator,
    resamples: int,
    confidence: float,
) -> Interval:
    if len(sums) == 0:
        return Interval(estimate=np.nan, low=np.nan, high=np.nan)
    estimate = float(difference(sums.sum(axis=0)))
    if len(sums) == 1:
        return Interval(estimate=estimate, low=np.nan, high=np.nan)
    drawn = np.concatenate(list(_resampled_totals(sums, generator, resamples)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(difference(drawn), (tail, 1 - tail))
    return Interval(estimate=estimate, low=float(low), high=float(high))


def _resampled_totals(sums: Floats, generator: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Yield the totals of resamples of U units each, in chunks of shape (r, 3); R rows altogether."""
    size = len(sums)
    at_once = max(1, _CHUNK // size)
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = generator.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        yield times @ sums


def _mean_difference(totals: Floats) -> Floats:
    return (totals[..., 0] - totals[..., 1]) / totals[..., 2]


def _rmse_difference(totals: Floats) -> Floats:
    rows = totals[..., 2]
    return np.sqrt(totals[..., 0] / rows) - np.sqrt(totals[..., 1] / rows)


_DIFFERENCES: dict[Statistic, Callable[[Floats], Floats]] = {
    "mean": _mean_difference,
    "rmse": _rmse_difference,
}
