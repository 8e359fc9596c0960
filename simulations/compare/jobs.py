"""One job: one training on one data set, with one point of its grid, under some seeds.

A job leaves one file of predictions per seed and nothing else; a file that is there is not made again, so a
comparison that was stopped goes on.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w
import torch

from client import floors, serving_heads
from client.data.dataset import Dataset
from client.data.examples import Split
from client.evaluation import labels_of, logits_of
from shared_model import files, schema
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import load as put_parameters
from shared_model.parameters import take
from shared_model.protocol import Instruction, SharedArrays, digest

from .. import candidates, federated, partition, scores
from ..baselines import in_one_place, learnable, trained_parameters
from ..candidates import Candidates
from ..datasets import read
from ..federated import Site
from ..pooling import PooledExamples
from ..seeds import generator
from . import choosing, linear, local, predictions
from .adoptions import ADOPTIONS, adopt
from .plan import DataSet, Training, contract_tables, experiment_of
from .predictions import Place, Predictions

SPLITS: tuple[Split, ...] = ("validation", "test")
BASELINES = "baselines"
"""Name of the job that needs no training: constant, linear, and the two rankings."""

Found = dict[str, Predictions]
"""Predictions by what was served: the adoption of a federated training, otherwise `heads`."""


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


@dataclass(frozen=True, kw_only=True)
class _Bench:
    contract: schema.Federation
    site: Site
    datasets: Mapping[str, Dataset]
    groups: Mapping[str, str]
    work: Path


def run(job: Job) -> None:
    """Train and predict under every seed that has no file yet.

    Raises:
        FedbazaarError: A file says something that is not allowed, data are missing, or a federation stopped.
    """
    torch.set_num_threads(1)
    if not job.missing:
        return
    bench = _prepared(job)
    try:
        for seed in job.missing:
            found = _RUN[job.training.where](bench, job.training, seed)
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
    bench = _prepared(job)
    try:
        predictions.save(job.file(0), _without_training(bench))
        known = predictions.truth_of(bench.datasets, bench.contract.tasks)
        files.write(about / "federation.toml", bench.site.contract.read_bytes(), durable=False)
        files.write(about / "groups.json", json.dumps(bench.groups, indent=1).encode(), durable=False)
        predictions.save(truth, {"labels": known.labels, "owner": known.owner})
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)


def _prepared(job: Job) -> _Bench:
    experiment = experiment_of(job.dataset, job.folder, job.data)
    job.out.mkdir(parents=True, exist_ok=True)
    work = Path(
        tempfile.mkdtemp(prefix="work-", dir=job.out)
    )  # a merchant's folder is opened once in a process
    tables = contract_tables(
        job.dataset,
        job.folder,
        experiment,
        job.dataset.pooled if job.training.where == "pooled" else {},
        job.training.contract,
        job.training.grid[job.variant],
    )
    contract = work / "federation.toml"
    files.write(contract, tomli_w.dumps(tables).encode(), durable=False)
    market = read(experiment.market, (job.folder / job.dataset.experiment).parent)
    if job.dataset.folds:
        market = replace(market, folds=job.dataset.folds, fold=job.dataset.fold)
    written = partition.write(market, work / "merchants")
    site = Site(contract=contract, merchants=dict(zip(market.merchants, written, strict=True)))
    seed = job.seeds[0]
    datasets = {name: site.merchant(name, seed).dataset for name in market.merchants}
    return _Bench(
        contract=schema.load_federation(contract),
        site=site,
        datasets=datasets,
        groups={name: tables.group or tables.tier for name, tables in market.merchants.items()},
        work=work,
    )


def _federated(bench: _Bench, training: Training, seed: int) -> Found:
    """Train through coordinator and clients; judge the release under every adoption."""
    lineage = f"compare-{seed}"
    arrays = federated.train(bench.site, directory=bench.work / f"seed-{seed}", lineage=lineage, seed=seed)
    found: Found = {adoption: {} for adoption in training.served}
    judged = Candidates({}, {})
    for name in bench.datasets:
        merchant = bench.site.merchant(name, seed)
        instruction = _instruction(merchant.federation, arrays, lineage)
        adopted = adopt(merchant, instruction, arrays, training.served)
        for task in _tasks(bench, name):
            for place, rows in _places(merchant.dataset, name, task):
                for adoption in training.served:
                    logits = ADOPTIONS[adoption](adopted, task, rows)
                    if logits is not None:
                        found[adoption][place] = predictions.predicted(merchant.dataset, place, logits)
        if adopted.choices:
            _merge(judged, candidates.scores_of(adopted.contestants, name, bench.contract.tasks))
    return found | choosing.packed(judged)


def _merge(judged: Candidates, more: Candidates) -> None:
    judged.owners.update(more.owners)
    for candidate, found in more.scores.items():
        judged.scores.setdefault(candidate, {}).update(found)


def _alone(bench: _Bench, training: Training, seed: int) -> Found:
    """Train every merchant's own models on its own rows."""
    contract = in_one_place(bench.contract)
    found: Predictions = {}
    for name, dataset in bench.datasets.items():
        common = _tasks(bench, name)
        for tasks in [[t] for t in common] if training.single else [common]:
            source = _source(seed, training.name, name, *tasks)
            model = build(contract, generator=source, catalogues=_sizes(dataset))
            for task, best in local.trained(model, local.Only(dataset, tasks), contract, source).items():
                for place, rows in _places(dataset, name, task):
                    logits = logits_of(best.model, dataset, task, rows)
                    found[place] = predictions.predicted(dataset, place, logits)
    return {"heads": found}


def _pooled(bench: _Bench, training: Training, seed: int) -> Found:
    """Train on everybody's rows; serve as a federation would, with heads fitted at every merchant."""
    contract = in_one_place(bench.contract)
    names = {t for dataset in bench.datasets.values() for t in learnable(dataset, contract)}
    tasks = {name: task for name, task in contract.tasks.items() if name in names}
    examples = PooledExamples(list(bench.datasets.values()), tasks)
    best: dict[str, MultiTaskModel] = {}
    for group in [[t] for t in tasks] if training.single else [list(tasks)]:
        source = _source(seed, training.name, *group)
        model = build(contract, generator=source)
        best |= {
            t: b.model for t, b in local.trained(model, local.Only(examples, group), contract, source).items()
        }
    found: Predictions = {}
    for name, dataset in bench.datasets.items():
        model = build(contract, generator=torch.Generator().manual_seed(0), catalogues=_sizes(dataset))
        for task in _tasks(bench, name):
            bottom = best.get(task) or best[next(iter(best))]
            put_parameters(model, take(bottom, _carried(bottom, task)))
            serving_heads.put(model, task, serving_heads.fit(model, dataset, task))
            for place, rows in _places(dataset, name, task):
                found[place] = predictions.predicted(dataset, place, logits_of(model, dataset, task, rows))
    return {"heads": found}


def _carried(model: MultiTaskModel, task: str) -> list[str]:
    """Names of what a pooled model gives a merchant for one task: the bottom and the task's prior."""
    mine = f"heads.{task}."
    return [n for n in trained_parameters(model) if n.startswith(mine) or not n.startswith("heads.")]


def _without_training(bench: _Bench) -> Found:
    found: Found = {"constant": {}, "linear": linear.predicted(bench.contract, bench.datasets, _places)}
    for floor in ("popularity", "bought before"):
        found[floor] = {}
    for name, dataset in bench.datasets.items():
        for task in _tasks(bench, name):
            for place, rows in _places(dataset, name, task):
                for method, logits in _rules(dataset, task, rows).items():
                    found[method][place] = predictions.predicted(dataset, place, logits)
    return found


def _rules(dataset: Dataset, task: str, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits of what predicts without any model."""
    spec = dataset.tasks[task]
    if isinstance(spec, schema.Retrieval):
        popular = floors.popularity(dataset, task).expand(len(rows), -1)
        return {"popularity": popular, "bought before": floors.bought_before(dataset, task, rows)}
    labels = labels_of(dataset, task, dataset.rows("train", task=task))
    return {"constant": scores.constant_logits(spec, labels).expand(len(rows), -1)}


_RUN: dict[str, Callable[[_Bench, Training, int], Found]] = {
    "federated": _federated,
    "alone": _alone,
    "pooled": _pooled,
}


def _tasks(bench: _Bench, merchant: str) -> list[str]:
    """Common tasks of a merchant."""
    return [task for task in bench.datasets[merchant].tasks if task in bench.contract.tasks]


def _places(dataset: Dataset, merchant: str, task: str) -> list[tuple[Place, torch.Tensor]]:
    """The splits with labelled rows of one task, and their numbers."""
    found = [(Place(split, merchant, task), dataset.rows(split, task=task)) for split in SPLITS]
    return [(place, rows) for place, rows in found if len(rows)]


def _sizes(dataset: Dataset) -> dict[str, int]:
    return {task: len(items) for task, items in dataset.catalogues.items()}


def _source(seed: int, *names: str) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator(seed, "compare", *names).integers(2**62)))


def _instruction(federation: schema.Federation, arrays: SharedArrays, lineage: str) -> Instruction:
    return Instruction(
        kind="adopt",
        fingerprint=federation.fingerprint,
        lineage=lineage,
        round=federation.federation.rounds,
        digest=digest(arrays),
    )
