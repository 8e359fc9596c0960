"""From the predictions of a sweep to numbers, and to the point that validation rows choose.

Notation: S seeds. A value is a mean over merchants first, then over seeds; its interval says how it varies
over seeds (Student's t with S - 1 degrees of freedom), not over merchants. With one seed there is none.
"""

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from client.data.examples import Split
from server.reporting.results import ContractFacts
from shared_model import files, schema
from shared_model.heads import measure_of

from .. import facts
from ..compare import predictions, tuning
from ..compare.measuring import first_measure
from ..compare.predictions import Predictions
from ..runs.environment import environment
from ..statistics import Interval
from . import running
from .plan import Plan, Point
from .work import Job


@dataclass(frozen=True, kw_only=True)
class Value:
    """A mean over seeds.

    Attributes:
        mean: Over the seeds.
        low: Lower 95 % bound; None for one seed.
        high: Upper bound.
        seeds: One value for each.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One point.

    Attributes:
        values: Dotted key -> value.
        score: By which points are compared, on validation rows: the geometric mean over tasks of a measure
            over that of the best constant, a loss, so less is better. None where nothing was trained.
        behind: Seed by seed, the score over that of the best point: above 1 is worse. None for the best point
            itself.
        tasks: Task -> its first measure on test rows, never read for choosing.
        parameters: Numbers that travel.
        bytes_per_round: Both ways, per merchant.
        failed: Seed -> why there is no model.
    """

    values: Mapping[str, Any]
    score: Value | None
    behind: Value | None
    tasks: Mapping[str, Value]
    parameters: int
    bytes_per_round: int
    failed: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of a sweep.

    Attributes:
        name: Of the sweep.
        command: That repeats it.
        seeds: Of every point.
        where: Who held the rows.
        served: What merchants were judged by.
        environment: Versions.
        measures: Task -> what it is judged by.
        best: Position of the best point, by `Line.score` alone; None where there is none.
        tied: Positions of points that S seeds do not tell from the best: the interval of `behind` holds 1.
        lines: The points.
    """

    name: str
    command: str
    seeds: tuple[int, ...]
    where: str
    served: str
    environment: Mapping[str, str]
    measures: Mapping[str, str]
    best: int | None
    tied: tuple[int, ...]
    lines: tuple[Line, ...]


def results(plan: Plan, out: Path, command: str) -> Results:
    """Return the numbers of a sweep whose points are all done.

    Raises:
        FileNotFoundError: A point is missing; `running.run` makes it.
    """
    judged = [_Judged(running.job_of(plan, point, out, plan.seeds), point) for point in plan.points]
    best = min((i for i, j in enumerate(judged) if j.usable), key=lambda i: judged[i].penalty, default=None)
    lines = tuple(_line(one, None if best in (None, i) else judged[best]) for i, one in enumerate(judged))
    return Results(
        name=plan.name,
        command=command,
        seeds=plan.seeds,
        where=plan.where,
        served=plan.served,
        environment=environment(),
        measures={task: measure_of(spec).name for one in judged for task, spec in one.tasks.items()},
        best=best,
        tied=tuple(i for i, line in enumerate(lines) if _ties(line)),
        lines=lines,
    )


def write(found: Results, out: Path) -> None:
    """Write `sweep.json` and `sweep.csv`, each wholly or not at all."""
    files.write(out / "sweep.json", json.dumps(asdict(found), indent=1, default=str).encode(), durable=False)
    files.write(out / "sweep.csv", _csv(found).encode(), durable=False)


def over_seeds(values: Sequence[float]) -> Value:
    """Return the mean over seeds with its interval.

    >>> over_seeds([1.0, 3.0]).mean
    2.0
    """
    interval = _student(np.asarray(values, np.float64))
    known = [None if math.isnan(bound) else bound for bound in (interval.low, interval.high)]
    return Value(mean=interval.estimate, low=known[0], high=known[1], seeds=tuple(map(float, values)))


class _Judged:
    """One point's trainings against what is true."""

    def __init__(self, job: Job, point: Point) -> None:
        contract = schema.load_federation(job.folder / "federation.toml")
        truth = predictions.load(job.folder / "truth.npz")
        self.point, self.tasks = point, contract.tasks
        self.contract: ContractFacts = facts.contract(contract)
        self.failed = {s: job.failure(s).read_text() for s in job.seeds if job.failure(s).exists()}
        self._labels, self._constant = truth["labels"], truth.get("constant", {})
        runs = [predictions.load(job.file(s)) for s in job.seeds if s not in self.failed]
        self._found = [run.get(job.served, {}) for run in runs]
        self.penalties = [self._penalty(found) for found in self._found]

    def _penalty(self, found: Predictions) -> float:
        """NaN where every task is the choice of an item, which `tuning` leaves out."""
        known = bool(self._constant)
        return tuning.penalty(dict(self.tasks), found, self._constant, self._labels) if known else math.nan

    @property
    def penalty(self) -> float:
        """Mean over seeds, of validation rows alone."""
        return float(np.mean(self.penalties))

    @property
    def usable(self) -> bool:
        """Whether every seed has a model that validation rows can judge."""
        return not self.failed and bool(np.isfinite(self.penalties).all())

    def on_test_rows(self) -> Iterator[tuple[str, Value]]:
        """Yield every task's measure on test rows."""
        for task, spec in self.tasks.items():
            values = [_mean(spec, task, "test", found, self._labels) for found in self._found]
            if values and np.isfinite(values).all():
                yield task, over_seeds(values)


def _line(judged: _Judged, best: "_Judged | None") -> Line:
    return Line(
        values=judged.point.values,
        score=_exp(judged.penalties) if judged.penalties and judged.usable else None,
        behind=_exp(np.subtract(judged.penalties, best.penalties)) if best and judged.usable else None,
        tasks=dict(judged.on_test_rows()),
        parameters=judged.contract.shared_parameters,
        bytes_per_round=judged.contract.bytes_per_round,
        failed=judged.failed,
    )


def _exp(logs: Any) -> Value:
    """Return a ratio from logarithms of it, one per seed; the bounds are those of the logarithm."""
    value = over_seeds(logs)
    return Value(
        mean=math.exp(value.mean),
        low=None if value.low is None else math.exp(value.low),
        high=None if value.high is None else math.exp(value.high),
        seeds=tuple(map(math.exp, value.seeds)),
    )


def _student(values: "np.ndarray[Any, np.dtype[np.float64]]") -> Interval:
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return Interval(estimate=mean, low=math.nan, high=math.nan)
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return Interval(estimate=mean, low=mean - half, high=mean + half)


def _mean(spec: schema.Task, task: str, split: Split, found: Predictions, labels: Predictions) -> float:
    """Return a task's measure, a mean over merchants; NaN without rows."""
    places = [place for place in found if (place.task, place.split) == (task, split)]
    return float(np.mean([first_measure(spec, found[p], labels[p]) for p in places])) if places else math.nan


def _ties(line: Line) -> bool:
    return line.behind is not None and (line.behind.low is None or line.behind.low <= 1)


def _csv(found: Results) -> str:
    """One row per point: its values, its score, and every task's measure on test rows."""
    columns = [*found.lines[0].values, "validation_score", "validation_low", "validation_high", "best"]
    columns += [f"{task}{part}" for task in found.measures for part in ("", "_low", "_high")]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for position, line in enumerate(found.lines):
        score = [position == found.best]
        tested = [part for task in found.measures for part in _parts(line.tasks.get(task))]
        writer.writerow([*line.values.values(), *_parts(line.score), *score, *tested])
    return stream.getvalue()


def _parts(value: Value | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if value is None else (value.mean, value.low, value.high)
