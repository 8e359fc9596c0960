"""From source to target: a model of one group's rows alone, served at the merchants of another.

The rows of a source lie in one place, so a cell says what the group knows, not how well a federation of it
works, and there is no noise: what privacy costs is `simulations.frontier`'s question. At the target the
model is
served as it is (`prior`, the first day) and with own parts of heads fitted on each merchant's rows (`heads`).
Both are compared with the best way alone on the same test rows, which may be networks.

One more source is everybody but the target's own group: what a federation without it would bring along.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from client.data.dataset import Dataset
from shared_model import files
from shared_model.heads import measure_of

from .. import pooling, runner
from ..alone import alone, constant
from ..comparison import Methods, tasks_of
from ..kept import kept
from ..runner import Bench, Progress, Request
from ..runs.environment import environment
from ..scores import Key, Scores, averaged, owners_of
from ..seeds import generator
from ..significance import Difference, difference, verdicts
from ..statistics import Verdict
from .groups import By, by_default, groups_of

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
class Matrix:
    """All cells of an experiment, with what they were made from."""

    name: str
    command: str
    environment: Mapping[str, str]
    seeds: tuple[int, ...]
    by: By
    groups: Mapping[str, tuple[str, ...]]
    tasks: tuple[Task, ...]
    cells: tuple[Cell, ...]


def matrix(request: Request, by: By | None, seeds: int | None, progress: Progress) -> Matrix:
    """Measure every source at every target; sources that are finished are not trained again.

    Args:
        request: The experiment.
        by: What sources and targets are; None for `groups.by_default`.
        seeds: Only the first so many of the experiment; None for all.
        progress: Is told of every stage.

    Raises:
        FedbazaarError: As `runner.run` and `groups_of`.
    """
    torch.set_num_threads(1)
    bench = runner.prepared(request, progress)
    by = by or by_default(bench.market)
    groups = groups_of(bench.market, by)
    used = bench.experiment.experiment.seeds[:seeds]
    ways = alone(bench, used)
    found = {source: _averaged(bench, by, source, groups, used) for source in (*groups, ALL_OTHERS)}
    methods = Methods(
        alone=ways, federated={}, prior={}, pooled=found[ALL_OTHERS][HEADS], constant=constant(bench)
    )
    tasks = tuple(
        Task(name=t.name, metric=t.metric, higher_is_better=t.higher_is_better, alone_method=t.alone_method)
        for t in tasks_of(bench.federation, methods)
        if any(key.task == t.name for key in found[ALL_OTHERS][HEADS])
    )
    table = _Table(bench=bench, groups=groups, ways=ways, found=found)
    return Matrix(
        name=bench.experiment.experiment.name,
        command=request.command,
        environment=environment(),
        seeds=used,
        by=by,
        groups=groups,
        tasks=tasks,
        cells=tuple(cell for serving in (PRIOR, HEADS) for cell in table.cells(tasks, serving)),
    )


def write(found: Matrix, path: Path) -> None:
    """Replace the file at `path` by `found` as JSON, wholly or not at all."""
    files.write(path, json.dumps(asdict(found), indent=1).encode(), durable=False)


# --- trainings --------------------------------------------------------------------------------------------


def _averaged(
    bench: Bench, by: By, source: str, groups: Mapping[str, tuple[str, ...]], seeds: Sequence[int]
) -> dict[str, Scores]:
    """Return the scores of what a source teaches, at every merchant, averaged over seeds."""
    runs = []
    for seed in seeds:
        path = bench.out / "matrix" / by / f"seed-{seed}" / f"{source.replace('/', '-')}.npz"
        measure = _everybody_else if source == ALL_OTHERS else partial(_from, source=source)
        runs.append(kept(path, partial(measure, bench, groups, seed)))
    return {name: averaged([run[name] for run in runs]) for name in runs[0]}


def _from(
    bench: Bench, groups: Mapping[str, tuple[str, ...]], seed: int, *, source: str
) -> dict[str, Scores]:
    """Train on one group's rows and serve everybody."""
    bench.progress(f"sources, seed {seed}", list(groups).index(source), len(groups))
    found = _taught(bench, groups[source], list(bench.datasets), seed, source)
    bench.progress(f"sources, seed {seed}", list(groups).index(source) + 1, len(groups))
    return found


def _everybody_else(bench: Bench, groups: Mapping[str, tuple[str, ...]], seed: int) -> dict[str, Scores]:
    """Train once without each group and serve that group."""
    found: dict[str, Scores] = {PRIOR: {}, HEADS: {}}
    for done, (target, members) in enumerate(groups.items()):
        bench.progress(f"all others, seed {seed}", done, len(groups))
        rest = [name for name in bench.datasets if name not in members]
        for serving, scores in _taught(bench, rest, list(members), seed, f"not {target}").items():
            found[serving] |= scores
    bench.progress(f"all others, seed {seed}", len(groups), len(groups))
    return found


def _taught(
    bench: Bench, teachers: Sequence[str], pupils: Sequence[str], seed: int, name: str
) -> dict[str, Scores]:
    source = torch.Generator().manual_seed(int(generator(seed, "matrix", name).integers(2**62)))
    rows = {teacher: _taught_only(bench.datasets[teacher], bench) for teacher in teachers}
    best = pooling.trained(bench.federation, rows, bench.experiment.baselines, source)
    found: dict[str, Scores] = {PRIOR: {}, HEADS: {}}
    for pupil in pupils:
        for serving, own in ((PRIOR, False), (HEADS, True)):
            found[serving] |= pooling.served(bench.federation, pupil, bench.datasets[pupil], best, own=own)
    return found


def _taught_only(dataset: Dataset, bench: Bench) -> Dataset:
    """Return the data set with the common tasks that its training rows can teach."""
    tasks = [t for t in dataset.tasks if t in bench.federation.tasks and len(dataset.rows("train", task=t))]
    return dataset.narrowed(tasks, np.ones(len(dataset), dtype=bool))


# --- cells ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Scores of all sources at all merchants."""

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
