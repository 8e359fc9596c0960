"""By how much one way is better than another on one merchant's rows, with bounds that hold for all tasks."""

import math

import numpy as np

from client.data.dataset import Dataset
from shared_model.heads import Measure, measure_of

from ..scores import Floats, Key, owners_of
from ..seeds import generator
from ..statistics import Interval, paired_bootstrap, verdict
from .report import Gain

LEAST_SHOPPERS = 20
"""With fewer of them a bootstrap interval is too narrow, and nothing is claimed."""
CONFIDENCE = 0.95
_RESAMPLES = 10_000  # at seven tasks some 36 of them lie beyond each bound


def gain(
    first: Floats, second: Floats, dataset: Dataset, key: Key, *, comparisons: int, seed: int, what: str = ""
) -> Gain:
    """Return by how much `second` is better than `first`, in percent of the first's metric.

    The bounds are those of a paired bootstrap over the merchant's shoppers at 1 - 0.05 / m, so that those of
    m comparisons hold together at 95 % (Bonferroni). With fewer than `LEAST_SHOPPERS` there are none.

    Args:
        first: Per-row scores, shape (n,).
        second: Of the other way on the same rows, shape (n,).
        dataset: Says whose the rows are, and how the task is judged.
        key: Whose rows they are.
        comparisons: m.
        seed: Of the bootstrap.
        what: Names the comparison, so that each has draws of its own.
    """
    measure, owners = measure_of(dataset.tasks[key.task]), owners_of(dataset, key)
    worse, better = (second, first) if measure.higher_is_better else (first, second)
    found = paired_bootstrap(
        worse,
        better,
        generator=generator(seed, "join", *key, what),
        statistic="rmse" if measure.root else "mean",
        units=owners,
        resamples=_RESAMPLES,
        confidence=1 - (1 - CONFIDENCE) / max(comparisons, 1),
    )
    if len(np.unique(owners)) < LEAST_SHOPPERS:
        found = Interval(estimate=found.estimate, low=math.nan, high=math.nan)
    return in_percent(found, metric(first, measure))


def in_percent(interval: Interval, of: float) -> Gain:
    """Return a gain in percent of a metric; of zero there is none."""
    scale = 100 / abs(of) if of else math.nan
    return Gain(
        percent=known(scale * interval.estimate),
        low=known(scale * interval.low),
        high=known(scale * interval.high),
        verdict=verdict(interval),
    )


def metric(scores: Floats, measure: Measure) -> float:
    """Return the metric of per-row scores."""
    mean = float(np.mean(scores))
    return mean**0.5 if measure.root else mean


def known(value: float) -> float | None:
    """Return a number, or None for one that could not be computed."""
    return float(value) if math.isfinite(value) else None
