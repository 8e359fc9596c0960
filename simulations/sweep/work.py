"""One point of a sweep under some seeds: it leaves a file of predictions per seed, and what is true."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch

from shared_model import declared, files
from shared_model.errors import AggregationError, PrivacyError

from ..compare import predictions, untrained
from ..compare.adoptions import Adoption
from ..compare.bench import Bench, prepared
from ..compare.plan import Training, Where
from ..compare.trainings import RUN
from ..datasets import read
from ..experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to train; a plain value, so that it can be sent to another process.

    Attributes:
        contract: Tables.
        experiment: Tables.
        base: Folder that relative paths in them start from.
        where: Who holds the rows.
        served: What the merchants are judged by.
        seeds: Under which.
        folder: Of the point's files.
    """

    contract: dict[str, Any]
    experiment: dict[str, Any]
    base: Path
    where: Where
    served: Adoption
    seeds: tuple[int, ...]
    folder: Path

    def file(self, seed: int) -> Path:
        """Return where the predictions of one seed lie."""
        return self.folder / f"seed-{seed}.npz"

    def failure(self, seed: int) -> Path:
        """Return where it says why there are none."""
        return self.folder / f"seed-{seed}.failed"

    @property
    def missing(self) -> tuple[int, ...]:
        """Seeds that are not done."""
        return tuple(s for s in self.seeds if not self.file(s).exists() and not self.failure(s).exists())


def run(job: Job) -> None:
    """Train and predict under every seed that is not done.

    A training that diverges, or that its privacy budget does not allow, is an outcome of the sweep: what it
    said is kept, and the others go on.

    Raises:
        FedbazaarError: Data are missing or cannot be used.
    """
    torch.set_num_threads(1)
    if not job.missing:
        return
    tables = {"federation.toml": job.contract, "experiment.toml": job.experiment}
    for name, content in tables.items():
        files.write(job.folder / name, tomli_w.dumps(content).encode(), durable=False)
    market = read(experiment_of(job).market, job.base)
    bench = prepared(market, job.contract, out=job.folder, seed=job.missing[0])
    training = Training(name="sweep", family="sweep", where=job.where, served=(job.served,))
    try:
        _keep_truth(job.folder, bench)
        for seed in job.missing:
            try:
                predictions.save(job.file(seed), RUN[job.where](bench, training, seed))
            except (AggregationError, PrivacyError) as error:
                files.write(job.failure(seed), str(error).encode(), durable=False)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)


def experiment_of(job: Job) -> Experiment:
    """Return a job's experiment under the contract of its point, over which a scenario is made."""
    contract = str((job.folder / "federation.toml").absolute())
    tables = {**job.experiment, "experiment": {**job.experiment["experiment"], "contract": contract}}
    return declared.parse(Experiment, tables, file=job.base)


def _keep_truth(folder: Path, bench: Bench) -> None:
    """Write labels, and the best constants that everything is measured against."""
    truth = predictions.truth_of(bench.datasets, bench.contract.tasks)
    kept = {"labels": truth.labels, "constant": untrained.constants(bench)}
    predictions.save(folder / "truth.npz", kept)
