"""From kept predictions to one line per data set, task, method and measure, with intervals over merchants.

A method's value is the mean over merchants, each counting once, of its measure on test rows, averaged over
seeds first. Its gain is the mean difference to the reference over the merchants that have both.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from shared_model import files, schema
from shared_model.heads import measure_of

from ..runs.environment import environment
from ..seeds import generator
from ..statistics import Interval, merchant_bootstrap
from ..summary import ALL
from . import choosing, predictions, running
from .choosing import RuleLine
from .jobs import BASELINES
from .measuring import Middle, measures, middle
from .moved import Moved, moved
from .plan import DataSet, Plan, Training
from .predictions import Place, Predictions
from .running import Asked

_HIGHER = ("accuracy", "precision", "recall", "F1", "AUC", "nDCG", "MRR")
_TOLERATED = 0.02  # share of the reference's measure that a merchant may lose before it counts as worse

Judged = dict[tuple[str, str], dict[str, list[float]]]
"""(merchant, task) -> measure -> one value per seed."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One number of the results.

    Attributes:
        dataset: Its name.
        task: Its name.
        measure: Its name.
        first: Whether it is the one that the task is judged by first.
        method: The training, and the adoption where it is not the training's first one.
        family: The heading.
        where: Who held the rows.
        group: Of merchants, or `all`.
        merchants: That have the measure.
        value: Mean over merchants.
        seed_deviation: Standard deviation over seeds of that mean.
        gain: Over the reference, above zero is better.
        gain_percent: The same, of the reference's value.
        low: Lower 95 % bound of `gain` over merchants.
        high: Upper bound.
        better: Share of merchants that gain.
        worse: Share that lose more than 2 % of the reference's value.
    """

    dataset: str
    task: str
    measure: str
    first: bool
    method: str
    family: str
    where: str
    group: str
    merchants: int
    value: float
    seed_deviation: float
    gain: float | None
    gain_percent: float | None
    low: float | None
    high: float | None
    better: float | None
    worse: float | None


@dataclass(frozen=True, kw_only=True)
class Method:
    """What was judged: predictions of every seed."""

    name: str
    family: str
    where: str
    seeds: list[Predictions]


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of a comparison.

    Attributes:
        name: Of the comparison.
        command: That repeats it.
        seeds: Of every training.
        reference: What gains are over.
        environment: Versions.
        chosen: Data set -> training -> the point of its grid that validation rows chose.
        lines: The numbers.
        rules: What came of rules for choosing what is served.
        moved: Bytes of federated trainings.
    """

    name: str
    command: str
    seeds: tuple[int, ...]
    reference: str
    environment: Mapping[str, str]
    chosen: Mapping[str, Mapping[str, object]]
    lines: tuple[Line, ...]
    rules: tuple[RuleLine, ...]
    moved: tuple[Moved, ...] = ()


def results(asked: Asked, command: str) -> Results:
    """Return the results of a comparison whose trainings are all there.

    Raises:
        FileNotFoundError: A training is missing; `running.run` makes it.
    """
    plan = running.plan_of(asked)
    return Results(
        name=plan.comparison.name,
        command=command,
        seeds=plan.comparison.seeds,
        reference=plan.comparison.reference,
        environment=environment(),
        chosen={d.key: _chosen(asked, plan, d) for d in plan.dataset},
        lines=tuple(line for folds in folded(plan) for line in _lines(asked, plan, folds)),
        rules=tuple(line for folds in folded(plan) for line in _rules(asked, plan, folds)),
        moved=tuple(line for folds in folded(plan) for line in _moved(asked, plan, folds[0])),
    )


def write(found: Results, path: Path) -> None:
    """Replace the file at `path` by the results as JSON, wholly or not at all."""
    files.write(path, json.dumps(asdict(found), indent=1).encode(), durable=False)


def folded(plan: Plan) -> list[list[DataSet]]:
    """Return the data sets of a plan, the folds of one together."""
    names = dict.fromkeys(d.name for d in plan.dataset)
    return [[d for d in plan.dataset if d.name == name] for name in names]


def methods_of(asked: Asked, plan: Plan, dataset: DataSet) -> list[Method]:
    """Return everything that was judged on a data set, with the predictions of every seed."""
    methods = [
        Method(name=name, family="without training", where="alone", seeds=[found])
        for name, found in running.baselines_of(asked, dataset).items()
        if found
    ]
    for training in plan.trainings_on(dataset.name):
        methods += _methods(asked, plan, dataset, training)
    return methods


def _methods(asked: Asked, plan: Plan, dataset: DataSet, training: Training) -> Iterator[Method]:
    found = _runs(asked, plan, dataset, training)
    for adoption in training.served:
        name = training.name if adoption == training.served[0] else f"{training.name}: {adoption}"
        runs = [f.get(adoption, {}) for f in found]
        yield Method(name=name, family=training.family, where=training.where, seeds=runs)


def _rules(asked: Asked, plan: Plan, folds: list[DataSet]) -> Iterator[RuleLine]:
    tasks = schema.load_federation(running.about_folder(asked, folds[0]) / "federation.toml").tasks
    for training in plan.trainings_on(folds[0].name):
        if "chosen" in training.served:
            runs = [run for fold in folds for run in _runs(asked, plan, fold, training)]
            yield from choosing.lines(folds[0].name, training.name, runs, tasks)


def _moved(asked: Asked, plan: Plan, dataset: DataSet) -> Iterator[Moved]:
    for training in plan.trainings_on(dataset.name):
        if training.where == "federated":
            yield moved(asked, dataset, training, plan.comparison.seeds)


def _runs(asked: Asked, plan: Plan, dataset: DataSet, training: Training) -> list[dict[str, Predictions]]:
    """Everything that was kept of a training, one for each seed."""
    seeds = plan.comparison.seeds
    variant = running.best_variant(asked, dataset, training, seeds[0])
    job = running.job_of(asked, dataset, training, variant, seeds)
    return [predictions.load(job.file(seed)) for seed in seeds]


def _chosen(asked: Asked, plan: Plan, dataset: DataSet) -> dict[str, object]:
    return {
        t.name: t.grid[running.best_variant(asked, dataset, t, plan.comparison.seeds[0])]
        for t in plan.trainings_on(dataset.name)
        if len(t.grid) > 1 and t.name != BASELINES
    }


def _lines(asked: Asked, plan: Plan, folds: list[DataSet]) -> Iterator[Line]:
    """All lines of one data set; a fold counts like a seed."""
    dataset = folds[0]
    about = running.about_folder(asked, dataset)
    tasks = schema.load_federation(about / "federation.toml").tasks
    groups = json.loads((about / "groups.json").read_text())
    judged: dict[str, Judged] = {}
    for fold in folds:
        labels = predictions.load(running.truth_file(asked, fold))["labels"]
        methods = methods_of(asked, plan, fold)
        for method in methods:
            judge(tasks, method.seeds, labels, into=judged.setdefault(method.name, {}))
    reference = judged[plan.comparison.reference]
    for method in methods:
        for name, spec in tasks.items():
            for measure in _measures_in(judged[method.name], name):
                first = measure == measure_of(spec).name
                for group in (ALL, *sorted(set(groups.values()))) if first else (ALL,):
                    members = {m for m in groups if group in (ALL, groups[m])}
                    mine = _by_merchant(judged[method.name], name, measure, members)
                    theirs = _by_merchant(reference, name, measure, members)
                    if mine:
                        yield _line(plan, dataset, name, measure, first, method, group, mine, theirs)


def judge(
    tasks: Mapping[str, schema.Task], seeds: list[Predictions], labels: Predictions, *, into: Judged
) -> None:
    """Add every measure of every merchant and task on test rows, one value per seed, to `into`."""
    for found in seeds:
        for place, kept in found.items():
            if place.split != "test":
                continue
            known = _known_labels(labels, place)
            cell = into.setdefault((place.merchant, place.task), {})
            for measure, value in measures(tasks[place.task], kept, labels[place], known).items():
                cell.setdefault(measure, []).append(value)


def _known_labels(labels: Predictions, place: Place) -> Middle | None:
    """Of the merchant's own training labels: known before any test row."""
    known = labels.get(Place("train", place.merchant, place.task))
    return None if known is None or known.ndim > 1 or not len(known) else middle(known)


def _measures_in(judged: Judged, task: str) -> list[str]:
    return list(dict.fromkeys(m for (_, t), cell in judged.items() if t == task for m in cell))


def _by_merchant(judged: Judged, task: str, measure: str, members: set[str]) -> dict[str, list[float]]:
    return {
        merchant: cell[measure]
        for (merchant, name), cell in judged.items()
        if name == task and merchant in members and measure in cell
    }


def _line(
    plan: Plan,
    dataset: DataSet,
    task: str,
    measure: str,
    first: bool,
    method: Method,
    group: str,
    mine: dict[str, list[float]],
    theirs: dict[str, list[float]],
) -> Line:
    sign = 1.0 if measure.startswith(_HIGHER) else -1.0
    both = [m for m in mine if m in theirs]
    known = np.array([np.mean(theirs[m]) for m in both])
    gains = sign * (np.array([np.mean(mine[m]) for m in both]) - known)
    source = generator(plan.comparison.seeds[0], "compare", dataset.name, task, measure, group)
    interval = (
        merchant_bootstrap(gains, generator=source, resamples=plan.comparison.resamples)
        if both
        else Interval(estimate=np.nan, low=np.nan, high=np.nan)
    )
    return Line(
        dataset=dataset.name,
        task=task,
        measure=measure,
        first=first,
        method=method.name,
        family=method.family,
        where=method.where,
        group=group,
        merchants=len(mine),
        value=float(np.mean([np.mean(v) for v in mine.values()])),
        seed_deviation=_deviation(mine),
        gain=_known(interval.estimate),
        gain_percent=_known(100 * interval.estimate / abs(known.mean())) if both and known.mean() else None,
        low=_known(interval.low),
        high=_known(interval.high),
        better=float((gains > 0).mean()) if both else None,
        worse=float((gains < -_TOLERATED * np.abs(known)).mean()) if both else None,
    )


def _deviation(mine: dict[str, list[float]]) -> float:
    """Over seeds, of the mean over the merchants that have the measure under every seed; 0 for one seed."""
    most = max(map(len, mine.values()))
    full = np.array([v for v in mine.values() if len(v) == most])
    return float(full.mean(0).std(ddof=1)) if most > 1 else 0.0


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
