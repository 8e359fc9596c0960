"""Learning curves of merchants that join later: from what was measured of each to means with intervals.

Notation: M merchants, S seeds, n orders. Intervals are percentile intervals at 95 % over draws of merchants,
each with one of its seeds; with few merchants read them as a hint (`simulations.statistics`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared_model import schema
from shared_model.heads import measure_of

from ..seeds import generator
from ..statistics import Interval, Verdict, verdict

ALL_ORDERS = -1
"""Stands for all orders that a merchant has."""
FEW, MANY = 50, 200
"""The question: is a new merchant with `FEW` orders, warm-started, better than alone with `MANY`?"""
EVERYBODY, ENOUGH = "all", f"{MANY} orders or more"
ALONE, WARM = "alone", "warm"
"""Each stands for the best of its ways, `alone: ...` and `warm: ...`, on validation rows at one n."""
HINDSIGHT = "alone, best in hindsight"
"""The best of the ways alone on test rows, which nobody could choose."""
PRIOR, HEADS, TUNED = "warm: prior", "warm: heads", "warm: fine-tuned"

_RESAMPLES = 2000
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One method at one merchant, task and number of orders.

    Attributes:
        merchant: Left out of the training.
        seed: Of the training.
        orders: n, or `ALL_ORDERS`.
        has: Training orders of the merchant; with n above them it was measured with these.
        method: `warm: ...` or `alone: ...`.
        task: Its name.
        test: The task's first measure on test rows.
        validation: On validation rows; None without any.
    """

    merchant: str
    seed: int
    orders: int
    has: int
    method: str
    task: str
    test: float
    validation: float | None


@dataclass(frozen=True, kw_only=True)
class Point:
    """One method at one n: means over a group of merchants.

    Attributes:
        task: Its name.
        group: `all`, or those with enough orders for every n to be real.
        orders: n, or `ALL_ORDERS`.
        method: `ALONE`, `HINDSIGHT`, `WARM`, or one way of a warm start.
        merchants: M.
        mean: Of the task's measure.
        gain_percent: Over `alone` at the same n, above zero is better; of `alone` itself it is zero.
        low_percent: Lower bound of the gain; None for a single merchant.
        high_percent: Upper bound.
    """

    task: str
    group: str
    orders: int
    method: str
    merchants: int
    mean: float
    gain_percent: float
    low_percent: float | None
    high_percent: float | None


@dataclass(frozen=True, kw_only=True)
class HeadStart:
    """The question, for one task: warm-started with `FEW` orders against alone with `MANY`.

    Attributes:
        task: Its name.
        against: Way to train alone: the one chosen on validation rows, or the best one in hindsight.
        hindsight: Whether it was chosen on test rows, which nobody could; then the gain is a lower bound.
        merchants: With at least `MANY` training orders.
        better: So many of them are better warm-started (means over seeds).
        alone: Mean measure alone, with `MANY`.
        warm: Mean measure warm-started, with `FEW`.
        gain_percent: Above zero is better.
        low_percent: Lower bound; None for a single merchant.
        high_percent: Upper bound.
        verdict: What the interval shows.
    """

    task: str
    against: str
    hindsight: bool
    merchants: int
    better: int
    alone: float
    warm: float
    gain_percent: float
    low_percent: float | None
    high_percent: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What a task's numbers mean, and which ways were taken at every n."""

    task: str
    metric: str
    higher_is_better: bool
    ways: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """All learning curves of an experiment, with what they were made from.

    Attributes:
        name: Of the experiment.
        command: That repeats it.
        environment: Versions.
        privacy: Whether shoppers were protected, in words.
        sent: What the training of a fold moves, in words.
        seeds: Of the trainings.
        folds: Federations a seed.
        merchants: Left out in all.
        curves: What the numbers of a task mean.
        points: Of the curves.
        head_starts: The answers.
    """

    name: str
    command: str
    environment: Mapping[str, str]
    privacy: str
    sent: str
    seeds: tuple[int, ...]
    folds: int
    merchants: int
    curves: tuple[Curve, ...]
    points: tuple[Point, ...]
    head_starts: tuple[HeadStart, ...]


def summarised(
    measured: Sequence[Measured], federation: schema.Federation, *, seeds: tuple[int, ...], **facts: object
) -> Transfer:
    """Return the curves of everything that was measured.

    Args:
        measured: Of every merchant, seed, n and method.
        federation: Says how tasks are judged.
        seeds: All of them.
        facts: The other fields of `Transfer`.
    """
    tasks = [name for name in federation.tasks if any(one.task == name for one in measured)]
    tables = {name: _Table(measured, federation.tasks[name], name, seeds) for name in tasks}
    return Transfer(
        seeds=seeds,
        merchants=len({one.merchant for one in measured}),
        curves=tuple(table.curve() for table in tables.values()),
        points=tuple(point for table in tables.values() for point in table.points()),
        head_starts=tuple(found for table in tables.values() for found in table.head_starts()),
        **facts,  # type: ignore[arg-type]
    )


class _Table:
    """What was measured of one task."""

    def __init__(
        self, measured: Sequence[Measured], spec: schema.Task, task: str, seeds: tuple[int, ...]
    ) -> None:
        mine = [one for one in measured if one.task == task]
        self.task, self.measure, self.seeds = task, measure_of(spec), seeds
        self.has = {one.merchant: one.has for one in mine}
        self.orders = sorted({one.orders for one in mine}, key=lambda n: np.inf if n == ALL_ORDERS else n)
        self._test = {(one.method, one.orders, one.merchant, one.seed): one.test for one in mine}
        ways = {one.method for one in mine}
        self.methods = (ALONE, HINDSIGHT, WARM, *(way for way in (PRIOR, HEADS, TUNED) if way in ways))
        self._taken = {kind: {n: self._best(mine, n, kind) for n in self.orders} for kind in (ALONE, WARM)}
        self._taken[HINDSIGHT] = {n: self._best_in_hindsight(n, list(self.has)) for n in self.orders}

    def curve(self) -> Curve:
        return Curve(
            task=self.task,
            metric=self.measure.name,
            higher_is_better=self.measure.higher_is_better,
            ways={kind: {said(n): way for n, way in taken.items()} for kind, taken in self._taken.items()},
        )

    def points(self) -> list[Point]:
        enough = [name for name, has in self.has.items() if has >= MANY]
        groups = {EVERYBODY: list(self.has), ENOUGH: enough}
        return [
            self._point(group, merchants, n, method)
            for group, merchants in groups.items()
            if merchants
            for method in self.methods
            for n in self.orders
        ]

    def head_starts(self) -> list[HeadStart]:
        merchants = [name for name, has in self.has.items() if has >= MANY]
        if not merchants or not {FEW, MANY} <= set(self.orders):
            return []
        chosen, best = self._taken[ALONE][MANY], self._best_in_hindsight(MANY, merchants)
        return [self._head_start(chosen, False, merchants), self._head_start(best, True, merchants)]

    def _head_start(self, against: str, hindsight: bool, merchants: Sequence[str]) -> HeadStart:
        alone, warm = self._values(against, MANY, merchants), self._values(WARM, FEW, merchants)
        gains = self._gains(alone, warm)
        found = self._interval(gains, "head start")
        scale = 100 / abs(float(alone.mean()))
        return HeadStart(
            task=self.task,
            against=against,
            hindsight=hindsight,
            merchants=len(merchants),
            better=int((gains.mean(1) > 0).sum()),
            alone=float(alone.mean()),
            warm=float(warm.mean()),
            gain_percent=scale * found.estimate,
            low_percent=_known(scale * found.low),
            high_percent=_known(scale * found.high),
            verdict=verdict(found),
        )

    def _best_in_hindsight(self, orders: int, merchants: Sequence[str]) -> str:
        """Return the way to train alone, of those that all can go, whose mean on test rows is best."""
        ways = {m for m, n, _, _ in self._test if n == orders and m.startswith(f"{ALONE}: ")}
        open_to_all = sorted(
            way
            for way in ways
            if all((way, orders, m, s) in self._test for m in merchants for s in self.seeds)
        )
        sign = -1.0 if self.measure.higher_is_better else 1.0
        return min(open_to_all, key=lambda way: sign * float(self._values(way, orders, merchants).mean()))

    def _best(self, mine: Sequence[Measured], orders: int, kind: str) -> str:
        """Return the way of a kind with the best mean on validation rows at one n."""
        tried: dict[str, list[float]] = {}
        for one in mine:
            if one.orders == orders and one.method.startswith(f"{kind}: ") and one.validation is not None:
                tried.setdefault(one.method, []).append(one.validation)
        sign = -1.0 if self.measure.higher_is_better else 1.0
        most = max(map(len, tried.values()))  # a way that not all can go at this n is none
        full = {method: values for method, values in tried.items() if len(values) == most}
        return min(full, key=lambda method: sign * float(np.mean(full[method])))

    def _values(self, method: str, orders: int, merchants: Sequence[str]) -> Floats:
        """Return the measure at every merchant under every seed, shape (M, S)."""
        name = self._taken[method][orders] if method in self._taken else method
        return np.array([[self._test[name, orders, m, s] for s in self.seeds] for m in merchants])

    def _gains(self, alone: Floats, other: Floats) -> Floats:
        return other - alone if self.measure.higher_is_better else alone - other

    def _point(self, group: str, merchants: Sequence[str], orders: int, method: str) -> Point:
        alone, values = (self._values(m, orders, merchants) for m in (ALONE, method))
        found = self._interval(self._gains(alone, values), group, method, str(orders))
        scale = 100 / abs(float(alone.mean()))
        return Point(
            task=self.task,
            group=group,
            orders=orders,
            method=method,
            merchants=len(merchants),
            mean=float(values.mean()),
            gain_percent=scale * found.estimate,
            low_percent=_known(scale * found.low),
            high_percent=_known(scale * found.high),
        )

    def _interval(self, values: Floats, *names: str) -> Interval:
        return interval(values, generator(self.seeds[0], "transfer", self.task, *names))


def interval(values: Floats, source: np.random.Generator) -> Interval:
    """Return the mean of `values`, shape (M, S), between bounds over draws of merchants, each with a seed.

    >>> interval(np.array([[1.0, 1.0], [1.0, 1.0]]), np.random.default_rng(0))
    Interval(estimate=1.0, low=1.0, high=1.0)
    """
    merchants, seeds = values.shape
    estimate = float(values.mean())
    if merchants < 2:
        return Interval(estimate=estimate, low=np.nan, high=np.nan)
    shape = (_RESAMPLES, merchants)
    drawn = values[source.integers(0, merchants, shape), source.integers(0, seeds, shape)].mean(1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(estimate=estimate, low=float(low), high=float(high))


def said(orders: int) -> str:
    """Return n in words.

    >>> said(50), said(ALL_ORDERS)
    ('50', 'all')
    """
    return "all" if orders == ALL_ORDERS else str(orders)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
