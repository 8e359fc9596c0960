"""All trainings of a comparison, several at a time, each in a process of its own.

Guarantee: a comparison that was stopped at any moment goes on when it is run again, and ends with the same
predictions (`tests/simulations/compare/test_running.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from shared_model import schema
from shared_model.errors import ConfigError

from ..parallel import Progress, together
from . import jobs, predictions, tuning
from .jobs import BASELINES, Job
from .plan import DataSet, Plan, Training, load_plan
from .predictions import Predictions

_NO_TRAINING = Training(name=BASELINES, family=BASELINES, where="alone")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to compare.

    Attributes:
        file: The comparison file.
        data: Folder of all original data; None where nothing but made-up data are compared.
        out: Where predictions and results go.
        workers: Processes.
        datasets: Only these; empty for all.
        trainings: Only these; empty for all. The reference always runs.
    """

    file: Path
    data: Path | None
    out: Path
    workers: int = 1
    datasets: tuple[str, ...] = ()
    trainings: tuple[str, ...] = ()


def plan_of(asked: Asked) -> Plan:
    """Return the part of the comparison file that is asked for.

    Raises:
        ConfigError: The file says something that is not allowed, or has no data set or training so named.
    """
    plan = load_plan(asked.file)
    for key, names, known in (
        ("dataset", asked.datasets, [d.name for d in plan.dataset]),
        ("training", asked.trainings, [t.name for t in plan.training]),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(asked.file, key, name, f"one of {', '.join(known)}")
    wanted = {*asked.trainings, plan.comparison.reference}
    return replace(
        plan,
        dataset=tuple(d for d in plan.dataset if not asked.datasets or d.name in asked.datasets),
        training=tuple(t for t in plan.training if not asked.trainings or t.name in wanted),
    )


def run(asked: Asked, progress: Progress) -> None:
    """Run what is missing; leave predictions of every training under `out`.

    Raises:
        FedbazaarError: As `jobs.run`; what was finished before stays.
    """
    plan = plan_of(asked)
    first = [(d, _NO_TRAINING) for d in plan.dataset]
    rest = [(d, t) for t in plan.training for d in plan.dataset if t in plan.trainings_on(d.name)]
    for stage, pairs in (("what needs no training", first), ("trainings", rest)):
        calls = [partial(complete, asked, d, training, plan.comparison.seeds) for d, training in pairs]
        together(calls, workers=asked.workers, stage=stage, progress=progress)


def complete(asked: Asked, dataset: DataSet, training: Training, seeds: tuple[int, ...]) -> None:
    """Run one training on one data set: all of its grid with the first seed, the best with all seeds."""
    job = job_of(asked, dataset, training, 0, (0,) if training.name == BASELINES else seeds)
    if training.name == BASELINES:
        jobs.baselines(job, truth_file(asked, dataset), about_folder(asked, dataset))
        return
    if len(training.grid) > 1:
        for variant in range(len(training.grid)):
            jobs.run(replace(job, variant=variant, seeds=seeds[:1]))
    jobs.run(replace(job, variant=best_variant(asked, dataset, training, seeds[0])))


def job_of(asked: Asked, dataset: DataSet, training: Training, variant: int, seeds: tuple[int, ...]) -> Job:
    """Return the job of one point of a training's grid."""
    return Job(
        dataset=dataset,
        training=training,
        variant=variant,
        seeds=seeds,
        folder=asked.file.parent,
        data=asked.data,
        out=asked.out,
    )


def best_variant(asked: Asked, dataset: DataSet, training: Training, seed: int) -> int:
    """Return the position in the grid that does best on validation rows."""
    if len(training.grid) == 1:
        return 0
    penalties = dict(_penalties(asked, dataset, training, seed))
    return min(penalties, key=penalties.__getitem__)


def _penalties(asked: Asked, dataset: DataSet, training: Training, seed: int) -> Iterator[tuple[int, float]]:
    labels = predictions.load(truth_file(asked, dataset))["labels"]
    constant = baselines_of(asked, dataset)["constant"]
    tasks = dict(schema.load_federation(about_folder(asked, dataset) / "federation.toml").tasks)
    for variant in range(len(training.grid)):
        found = predictions.load(job_of(asked, dataset, training, variant, (seed,)).file(seed))
        yield variant, tuning.penalty(tasks, found[training.served[0]], constant, labels)


def baselines_of(asked: Asked, dataset: DataSet) -> dict[str, Predictions]:
    """Return the predictions of what needs no training."""
    return predictions.load(job_of(asked, dataset, _NO_TRAINING, 0, (0,)).file(0))


def truth_file(asked: Asked, dataset: DataSet) -> Path:
    """Return where labels and owners lie."""
    return asked.out / "truth" / f"{dataset.key}.npz"


def about_folder(asked: Asked, dataset: DataSet) -> Path:
    """Return where the data set's contract lies."""
    return asked.out / "truth" / dataset.key
