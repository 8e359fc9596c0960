"""One job: one training on one data set, with one point of its grid, under some seeds.

A job leaves one file of predictions per seed and nothing else; a file that is there is not made again, so a
comparison that was stopped goes on.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from shared_model import files

from ..datasets import read
from . import predictions, untrained
from .bench import Bench, prepared
from .plan import DataSet, Training, contract_tables, experiment_of
from .trainings import RUN

BASELINES = "baselines"
"""Name of the job that needs no training (`untrained.py`)."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to run; a plain value, so that it can be sent to another process.

    Attributes:
        dataset: Which.
        training: Which.
        variant: Position in the training's grid.
        seeds: Under which.
        folder: Of the comparison file.
        data: Of all originals.
        out: The comparison's directory.
    """

    dataset: DataSet
    training: Training
    variant: int
    seeds: tuple[int, ...]
    folder: Path
    data: Path | None
    out: Path

    @property
    def name(self) -> str:
        """Of the job, for people."""
        variant = f" ({self.variant + 1} of {len(self.training.grid)})" if len(self.training.grid) > 1 else ""
        return f"{self.dataset.key}: {self.training.name}{variant}"

    def file(self, seed: int) -> Path:
        """Return where the predictions of one seed lie."""
        place = self.out / "predictions" / self.dataset.key / self.training.name.replace(" ", "-")
        return place / f"{self.variant}-seed{seed}.npz"

    @property
    def missing(self) -> tuple[int, ...]:
        """Seeds without a file."""
        return tuple(seed for seed in self.seeds if not self.file(seed).exists())


def run(job: Job) -> None:
    """Train and predict under every seed that has no file yet.

    Raises:
        FedbazaarError: A file says something that is not allowed, data are missing, or a federation stopped.
    """
    torch.set_num_threads(1)
    if not job.missing:
        return
    bench = _bench(job)
    try:
        for seed in job.missing:
            found = RUN[job.training.where](bench, job.training, seed)
            predictions.save(job.file(seed), found)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)


def baselines(job: Job, truth: Path, about: Path) -> None:
    """Write what is true, and what needs no training: `constant`, `linear`, `popularity`, `bought before`.

    Args:
        job: Names the data set; its training is not read.
        truth: File for labels and owners.
        about: Folder for the contract, and the group of every merchant.
    """
    torch.set_num_threads(1)
    if truth.exists() and job.file(0).exists():
        return
    bench = _bench(job)
    try:
        predictions.save(job.file(0), untrained.predicted(bench))
        known = predictions.truth_of(bench.datasets, bench.contract.tasks)
        files.write(about / "federation.toml", bench.site.contract.read_bytes(), durable=False)
        files.write(about / "groups.json", json.dumps(bench.groups, indent=1).encode(), durable=False)
        predictions.save(truth, {"labels": known.labels, "owner": known.owner})
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)


def tables_of(job: Job) -> dict[str, Any]:
    """Return the tables of the contract that a job trains under (errors as of `contract_tables`)."""
    return contract_tables(
        job.dataset,
        job.folder,
        experiment_of(job.dataset, job.folder, job.data),
        job.dataset.pooled if job.training.where == "pooled" else {},
        job.training.contract,
        job.training.grid[job.variant],
    )


def _bench(job: Job) -> Bench:
    experiment, tables = experiment_of(job.dataset, job.folder, job.data), tables_of(job)
    market = read(experiment.market, (job.folder / job.dataset.experiment).parent)
    if job.dataset.folds:
        market = replace(market, folds=job.dataset.folds, fold=job.dataset.fold)
    return prepared(market, tables, out=job.out, seed=job.seeds[0])
