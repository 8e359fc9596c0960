"""Cells of a transfer matrix: what came from a source against the best way alone, on a target's test rows.

Of several merchants every test row counts once, and shoppers of different merchants are different ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from shared_model.heads import measure_of

from ..runner import Bench
from ..scores import Key, Scores, owners_of
from ..significance import Difference, difference, verdicts
from ..statistics import Verdict

PRIOR, HEADS = "prior", "heads"
ALL_OTHERS = "all others"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One source served at one target, on one task.

    Attributes:
        task: Its name.
        source: Whose rows taught, or `ALL_OTHERS`.
        target: Whose test rows judge.
        serving: `PRIOR` or `HEADS`.
        rows: Labelled test rows.
        shoppers: Whose they are.
        alone: Metric of the best way alone.
        value: Metric of what came from the source.
        percent: Gain over alone, of it; None where that is zero.
        low: Lower bound at 95 %, of this cell by itself; None with fewer than two shoppers.
        high: Upper bound.
        verdict: With 5 % of false discoveries among all cells of the same serving whose source is another.
    """

    task: str
    source: str
    target: str
    serving: str
    rows: int
    shoppers: int
    alone: float
    value: float
    percent: float | None
    low: float | None
    high: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Task:
    """How a task is judged, and what stands for alone."""

    name: str
    metric: str
    higher_is_better: bool
    alone_method: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Scores of all sources at all merchants.

    Attributes:
        bench: Contract, merchants and data.
        groups: Target -> its merchants.
        ways: Way to train alone -> scores.
        found: Source -> way to serve -> scores.
    """

    bench: Bench
    groups: Mapping[str, tuple[str, ...]]
    ways: Mapping[str, Scores]
    found: Mapping[str, Mapping[str, Scores]]

    def cells(self, tasks: Sequence[Task], serving: str) -> list[Cell]:
        """Return the cells of one serving; those of a group at itself are not judged together with others."""
        pairs = [
            pair
            for task in tasks
            for source in self.found
            for target in self.groups
            if (pair := self._cell(task, source, target, serving)) is not None
        ]
        foreign = [i for i, (cell, _) in enumerate(pairs) if cell.source != cell.target]
        judged = verdicts([pairs[i][1] for i in foreign])
        said: dict[int, Verdict] = dict(zip(foreign, judged, strict=True))
        return [replace(cell, verdict=said.get(i, "cannot tell")) for i, (cell, _) in enumerate(pairs)]

    def _cell(self, task: Task, source: str, target: str, serving: str) -> tuple[Cell, Difference] | None:
        scores, ways = self.found[source][serving], self.ways[task.alone_method]
        keys = [Key(name, task.name, "test") for name in self.groups[target]]
        keys = [key for key in keys if key in scores and key in ways]
        if not keys:
            return None
        before, after = (np.concatenate([s[key] for key in keys]) for s in (ways, scores))
        measure = measure_of(self.bench.federation.tasks[task.name])
        first, second = (after, before) if task.higher_is_better else (before, after)
        found = difference(first, second, self._owners(keys), statistic="rmse" if measure.root else "mean")
        alone_, value = (float(x.mean()) ** (0.5 if measure.root else 1.0) for x in (before, after))
        percent, low, high = _in_percent(found, alone_)
        cell = Cell(
            task=task.name,
            source=source,
            target=target,
            serving=serving,
            rows=len(before),
            shoppers=found.shoppers,
            alone=alone_,
            value=value,
            percent=percent,
            low=low,
            high=high,
            verdict="cannot tell",
        )
        return cell, found

    def _owners(self, keys: Sequence[Key]) -> NDArray[np.int64]:
        """Return whose the rows are; shoppers of different merchants are different ones."""
        parts, first = [], 0
        for key in keys:
            _, position = np.unique(owners_of(self.bench.datasets[key.merchant], key), return_inverse=True)
            parts.append(position + first)
            first += int(position.max()) + 1
        return np.concatenate(parts)


def _in_percent(found: Difference, of: float) -> tuple[float | None, float | None, float | None]:
    """Return a gain and its bounds at 95 %, in percent of a metric."""
    if not of:
        return None, None, None
    scale = 100 / abs(of)
    if found.shoppers < 2:
        return scale * found.estimate, None, None
    width = float(stats.t.ppf(0.975, found.shoppers - 1)) * found.standard_error
    return scale * found.estimate, scale * (found.estimate - width), scale * (found.estimate + width)
