"""What each merchant adds for the others: everybody against everybody without it, on the others' test rows.

It is exact in that a federation is trained without each. It is no Shapley value: two merchants that can stand
in for one another both add little. The bounds say how it varies over the others' shoppers and, where there
are several seeds, over those; of a single one they leave out what the noise of one training does.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from client.data.dataset import Dataset
from shared_model.heads import Measure, measure_of

from ..scores import Floats, Key, Scores, averaged, owners_of
from ..seeds import generator
from ..significance import Difference, difference, verdicts
from ..statistics import Statistic, Verdict
from .gains import known, metric
from .options import EXACT, Options
from .report import Contribution, Gain
from .trainings import SERVED, Trainings

_HALF_WIDTH = 1.96  # 95 % of a normal, since a mean over merchants rests on hundreds of shoppers


def left_out(trainers: Sequence[str], options: Options, *, seed: int) -> tuple[str, ...]:
    """Return who is left out in turn: the merchant of the study if it trains, then all or so many others.

    Args:
        trainers: Those that take part in training; leaving out one that only receives changes nothing.
        options: Say how many.
        seed: Of the draw of others.
    """
    first = [name for name in trainers if name == options.merchant]
    others = [name for name in trainers if name != options.merchant]
    count = options.contributions
    if count is None:
        count = len(trainers) if len(trainers) <= EXACT else len(first)
    if count >= len(trainers):
        return (*first, *others)
    drawn = generator(seed, "contributions").choice(len(others), max(count - len(first), 0), replace=False)
    return (*first, *(others[i] for i in sorted(drawn)))


def contributions(trainings: Trainings, names: Sequence[str]) -> tuple[Contribution, ...]:
    """Return what each of `names` adds on every task; verdicts bear 5 % of false discoveries together."""
    bench, whole = trainings.bench, [run[SERVED] for run in trainings.runs()]
    found = []
    for done, name in enumerate(names):
        bench.progress("contributions", done, len(names))
        without = [run[SERVED] for run in trainings.runs(without=name)]
        for task in bench.federation.tasks:
            added = _added(bench.datasets, task, name, whole, without)
            found += [] if added is None else [added]
    bench.progress("contributions", len(names), len(names))
    said = verdicts([one.difference for one in found])
    return tuple(one.told(verdict) for one, verdict in zip(found, said, strict=True))


@dataclass(frozen=True, kw_only=True)
class _Added:
    """What one merchant adds on one task."""

    merchant: str
    task: str
    others: int
    joined: float
    without: float
    difference: Difference

    def told(self, verdict: Verdict) -> Contribution:
        scale = 100 / abs(self.without) if self.without else float("nan")
        percent, error = scale * self.difference.estimate, scale * self.difference.standard_error
        gain = Gain(
            percent=known(percent),
            low=known(percent - _HALF_WIDTH * error),
            high=known(percent + _HALF_WIDTH * error),
            verdict=verdict,
        )
        return Contribution(
            merchant=self.merchant,
            task=self.task,
            others=self.others,
            joined=self.joined,
            without=self.without,
            gain=gain,
        )


def _added(
    datasets: Mapping[str, Dataset],
    task: str,
    name: str,
    with_it: Sequence[Scores],
    without_it: Sequence[Scores],
) -> _Added | None:
    """Return what one merchant adds on one task, from the scores of every seed."""
    keys = [Key(other, task, "test") for other in datasets if other != name]
    keys = [key for key in keys if key in with_it[0]]
    if not keys:
        return None
    measure = measure_of(datasets[keys[0].merchant].tasks[task])
    whole, without = averaged(list(with_it)), averaged(list(without_it))
    each = [_one(datasets[key.merchant], key, without[key], whole[key], measure) for key in keys]
    mean = Difference(
        estimate=float(np.mean([one.estimate for one in each])),
        standard_error=math.hypot(
            _error_of_mean(each), _error_over_seeds(keys, with_it, without_it, measure)
        ),
        shoppers=sum(one.shoppers for one in each),
    )
    return _Added(
        merchant=name,
        task=task,
        others=len(keys),
        joined=float(np.mean([metric(whole[key], measure) for key in keys])),
        without=float(np.mean([metric(without[key], measure) for key in keys])),
        difference=mean,
    )


def _one(dataset: Dataset, key: Key, before: Floats, after: Floats, measure: Measure) -> Difference:
    first, second = (after, before) if measure.higher_is_better else (before, after)
    statistic: Statistic = "rmse" if measure.root else "mean"
    return difference(first, second, owners_of(dataset, key), statistic=statistic)


def _error_over_seeds(
    keys: Sequence[Key], with_it: Sequence[Scores], without_it: Sequence[Scores], measure: Measure
) -> float:
    """Return the standard error of the mean over seeds; zero of a single one."""
    if len(with_it) < 2:
        return 0.0
    gains = [
        np.mean([metric(before[key], measure) - metric(after[key], measure) for key in keys])
        for before, after in zip(without_it, with_it, strict=True)
    ]
    return float(np.std(gains, ddof=1)) / math.sqrt(len(gains))


def _error_of_mean(each: Sequence[Difference]) -> float:
    """Return the standard error of the mean of independent differences.

    A merchant with a single shopper has none to add; where all are such, it is NaN.
    """
    errors = np.array([one.standard_error for one in each])
    if np.isnan(errors).all():
        return math.nan
    return math.sqrt(float(np.nansum(np.square(errors)))) / len(errors)
