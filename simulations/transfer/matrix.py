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
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from client.data.dataset import Dataset
from shared_model import files

from .. import pooling, runner
from ..alone import alone, constant
from ..comparison import Methods, tasks_of
from ..kept import kept
from ..runner import Bench, Progress, Request
from ..runs.environment import environment
from ..scores import Scores, averaged
from ..seeds import generator
from .cells import ALL_OTHERS, HEADS, PRIOR, Cell, Table, Task
from .groups import By, by_default, groups_of


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
    table = Table(bench=bench, groups=groups, ways=ways, found=found)
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
