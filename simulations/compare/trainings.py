"""Who holds the rows: one row of the table `RUN` each.

A training returns predictions by what was served: the adoption of a federated training, otherwise `heads`.
"""

from collections.abc import Callable

import torch

from client import serving_heads
from client.data.dataset import Dataset
from client.evaluation import logits_of
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import load, take

from .. import candidates, federated
from ..baselines import in_one_place, learnable, trained_parameters
from ..candidates import Candidates
from ..pooling import PooledExamples
from ..seeds import generator
from . import choosing, local, predictions
from .adoptions import ADOPTIONS, adopt
from .bench import Bench, places, tasks_of
from .plan import Training, Where
from .predictions import Found, Predictions


def _federated(bench: Bench, training: Training, seed: int) -> Found:
    """Train through coordinator and clients; judge the release under every adoption."""
    lineage = f"compare-{seed}"
    arrays = federated.train(bench.site, directory=bench.work / f"seed-{seed}", lineage=lineage, seed=seed)
    found: Found = {adoption: {} for adoption in training.served}
    judged = Candidates({}, {})
    for name in bench.datasets:
        merchant = bench.site.merchant(name, seed)
        instruction = federated.release(merchant.federation, arrays, lineage)
        adopted = adopt(merchant, instruction, arrays, training.served)
        for task in tasks_of(bench, name):
            for place, rows in places(merchant.dataset, name, task):
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


def _alone(bench: Bench, training: Training, seed: int) -> Found:
    """Train every merchant's own models on its own rows."""
    contract = in_one_place(bench.contract)
    found: Predictions = {}
    for name, dataset in bench.datasets.items():
        common = tasks_of(bench, name)
        for tasks in [[t] for t in common] if training.single else [common]:
            source = _source(seed, training.name, name, *tasks)
            model = build(contract, generator=source, catalogues=_sizes(dataset))
            for task, best in local.trained(model, local.Only(dataset, tasks), contract, source).items():
                for place, rows in places(dataset, name, task):
                    logits = logits_of(best.model, dataset, task, rows)
                    found[place] = predictions.predicted(dataset, place, logits)
    return {"heads": found}


def _pooled(bench: Bench, training: Training, seed: int) -> Found:
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
        for task in tasks_of(bench, name):
            bottom = best.get(task) or best[next(iter(best))]
            load(model, take(bottom, _carried(bottom, task)))
            serving_heads.put(model, task, serving_heads.fit(model, dataset, task))
            for place, rows in places(dataset, name, task):
                found[place] = predictions.predicted(dataset, place, logits_of(model, dataset, task, rows))
    return {"heads": found}


def _carried(model: MultiTaskModel, task: str) -> list[str]:
    """Names of what a pooled model gives a merchant for one task: the bottom and the task's prior."""
    mine = f"heads.{task}."
    return [n for n in trained_parameters(model) if n.startswith(mine) or not n.startswith("heads.")]


RUN: dict[Where, Callable[[Bench, Training, int], Found]] = {
    "federated": _federated,
    "alone": _alone,
    "pooled": _pooled,
}


def _sizes(dataset: Dataset) -> dict[str, int]:
    return {task: len(items) for task, items in dataset.catalogues.items()}


def _source(seed: int, *names: str) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator(seed, "compare", *names).integers(2**62)))
