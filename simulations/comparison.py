"""Alone, federated, pooled: who gains, who loses, and how sure we are.

Every method is scored on the same test rows, so differences are paired row by row. The scores of several
seeds are averaged per row first: an interval says how the difference would vary over other shoppers of the
same merchant, not over seeds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.data.dataset import Dataset
from client.data.examples import Split
from server.reporting.results import Cell, Task
from shared_model import schema
from shared_model.heads import Measure, measure_of

from .scores import Floats, Key, Scores, owners_of
from .seeds import generator
from .statistics import Interval, paired_bootstrap, verdict


@dataclass(frozen=True, kw_only=True)
class Methods:
    """The scores of everything that is compared, averaged over seeds.

    Attributes:
        alone: What a merchant could do by itself, by name; validation and test rows.
        federated: What federated training serves; test rows, as all others.
        prior: The released model without any private part.
        pooled: Everybody's rows in one place.
        constant: The best constant.
    """

    alone: Mapping[str, Scores]
    federated: Scores
    prior: Scores
    pooled: Scores
    constant: Scores


def tasks_of(contract: schema.Federation, methods: Methods) -> tuple[Task, ...]:
    """Return every common task with the method that stands for "alone".

    That is the candidate with the best mean metric over merchants' validation rows: one for all merchants,
    chosen by what the summary reports, every merchant counting once.
    """
    return tuple(
        _task(name, spec, methods) for name, spec in contract.tasks.items() if _candidates(name, methods)
    )


def cells_of(
    contract: schema.Federation,
    datasets: Mapping[str, Dataset],
    tasks: tuple[Task, ...],
    methods: Methods,
    *,
    seed: int,
) -> tuple[Cell, ...]:
    """Return the comparison for every merchant and task with labelled test rows.

    Args:
        contract: Says how tasks are judged.
        datasets: Name the owner of every row; whole shoppers are resampled.
        tasks: What stands for "alone".
        methods: The scores.
        seed: Of the bootstrap.
    """
    keys = [(Key(name, task.name, "test"), task) for name in datasets for task in tasks]
    return tuple(
        _cell(key, task, measure_of(contract.tasks[task.name]), datasets[key.merchant], methods, seed)
        for key, task in keys
        if key in methods.federated
    )


def _task(name: str, spec: schema.Task, methods: Methods) -> Task:
    measure = measure_of(spec)
    candidates = _candidates(name, methods)
    sign = -1.0 if measure.higher_is_better else 1.0
    tried = {
        method: _mean_metric(scores, name, measure, "validation") for method, scores in candidates.items()
    }
    best = min(tried, key=lambda method: math.inf if (m := tried[method]) is None else sign * m)
    means = {method: _mean_metric(scores, name, measure, "test") for method, scores in candidates.items()}
    return Task(
        name=name,
        kind=spec.kind,
        metric=measure.name,
        unit=_unit(spec),
        higher_is_better=measure.higher_is_better,
        alone_method=best,
        alone_candidates=means,
    )


def _candidates(task: str, methods: Methods) -> dict[str, Scores]:
    return {m: s for m, s in methods.alone.items() if any(k.task == task and k.split == "test" for k in s)}


def _unit(spec: schema.Task) -> str:
    if isinstance(spec, schema.Regression):
        return {"identity": "", "log1p": "log(1 + y)", "signed_log1p": "signed log(1 + y)"}[spec.transform]
    return ""


def _cell(key: Key, task: Task, measure: Measure, dataset: Dataset, methods: Methods, seed: int) -> Cell:
    alone = methods.alone[task.alone_method].get(key)
    federated = methods.federated[key]
    interval = _gain(alone, federated, measure, owners_of(dataset, key), seed, key)
    return Cell(
        merchant=key.merchant,
        task=key.task,
        test_rows=len(federated),
        alone=_metric(alone, measure),
        federated=_metric(federated, measure),
        prior=_metric(methods.prior.get(key), measure),
        pooled=_metric(methods.pooled.get(key), measure),
        constant=_metric(methods.constant.get(key), measure),
        gain=interval.estimate,
        low=interval.low,
        high=interval.high,
        verdict=verdict(interval),
    )


def _gain(
    alone: Floats | None, federated: Floats, measure: Measure, owners: NDArray[np.int64], seed: int, key: Key
) -> Interval:
    if alone is None:
        return Interval(estimate=np.nan, low=np.nan, high=np.nan)
    first, second = (federated, alone) if measure.higher_is_better else (alone, federated)
    return paired_bootstrap(
        first,
        second,
        statistic="rmse" if measure.root else "mean",
        units=owners,
        generator=generator(seed, "bootstrap", key.merchant, key.task),
    )


def _metric(scores: Floats | None, measure: Measure) -> float | None:
    if scores is None or not len(scores):
        return None
    mean = float(scores.mean())
    return mean**0.5 if measure.root else mean


def _mean_metric(scores: Scores, task: str, measure: Measure, split: Split) -> float | None:
    """Mean over merchants of their metric on one split; None where nobody has rows."""
    values = [
        _metric(rows, measure) for key, rows in scores.items() if (key.task, key.split) == (task, split)
    ]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
