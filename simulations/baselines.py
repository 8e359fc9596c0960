"""What a federation is compared with: merchants that train alone, and all rows in one place.

Alone, a merchant may choose among a network per task, one network for all its tasks, and a linear model
shrunk to public constants, whichever does best on validation rows. A comparison with a weak one of them makes
federated learning look better than it is.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from client.data.dataset import Dataset
from torch import Tensor

from client import serving_heads
from client.alone import PENALTIES, untrained_linear_model
from client.data.examples import Examples, Split
from client.evaluation import labels_of, logits_of
from client.training import multitask_loss
from shared_model import schema
from shared_model.heads import row_losses
from shared_model.model import MultiTaskModel, build

from .experiment import Baselines
from .scores import Scores, merged, pooled_score, scores_of

_SPLITS: tuple[Split, ...] = ("validation", "test")


def learnable(dataset: Dataset, contract: schema.Federation) -> list[str]:
    """Return the common tasks of a merchant that baselines train on; choosing an item has floors instead."""
    return [
        t
        for t, task in dataset.tasks.items()
        if t in contract.tasks and not isinstance(task, schema.Retrieval)
    ]


def linear(contract: schema.Federation, datasets: Mapping[str, Dataset]) -> Scores:
    """Return the scores of linear models, each merchant's own, shrunk to public constants.

    One strength per task serves all merchants; the one with the best pooled validation score is taken, which
    no merchant alone could know. That favours this baseline.
    """
    tried: dict[float, Scores] = {}
    for penalty in PENALTIES:
        parts = []
        for name, dataset in datasets.items():
            tasks = learnable(dataset, contract)
            model = untrained_linear_model(contract, dataset)
            for task in tasks:
                serving_heads.put(model, task, serving_heads.fit(model, dataset, task, penalty=penalty))
            parts += [scores_of(model, name, dataset, split, tasks=tasks) for split in _SPLITS]
        tried[penalty] = merged(parts)
    best = {t: min(PENALTIES, key=lambda p: pooled_score(tried[p], t, "validation")) for t in contract.tasks}
    return {key: values for p in PENALTIES for key, values in tried[p].items() if best[key.task] == p}


def single_task(
    contract: schema.Federation, name: str, dataset: Dataset, options: Baselines, generator: torch.Generator
) -> Scores:
    """Return the scores of one network per task."""
    return merged(
        [
            network(contract, name, dataset, [task], options, generator)
            for task in learnable(dataset, contract)
        ]
    )


def multi_task(
    contract: schema.Federation, name: str, dataset: Dataset, options: Baselines, generator: torch.Generator
) -> Scores:
    """Return the scores of one network for all tasks; every task is judged at its own best epoch."""
    return network(contract, name, dataset, learnable(dataset, contract), options, generator)


def network(
    contract: schema.Federation,
    name: str,
    dataset: Dataset,
    tasks: list[str],
    options: Baselines,
    generator: torch.Generator,
) -> Scores:
    """Train a network on one merchant's rows and return its scores (see `fitted`)."""
    bottom = schema.SharedBottom(architecture="shared_bottom", hidden=options.hidden)
    model = build(replace(contract, bottom=bottom), generator=generator)
    best = fitted(model, dataset, tasks, options, generator)
    return merged(
        [
            scores_of(snapshot, name, dataset, split, tasks=[task], own=False)
            for task, snapshot in best.items()
            for split in _SPLITS
        ]
    )


def fitted(
    model: MultiTaskModel,
    dataset: Examples,
    tasks: list[str],
    options: Baselines,
    generator: torch.Generator,
) -> dict[str, MultiTaskModel]:
    """Train shared parameters with Adam and early stopping; return every task's best epoch.

    Args:
        model: To train; changed in place.
        dataset: Rows of one merchant, or of all.
        tasks: To train on.
        options: Epochs, batch, learning rate.
        generator: Draws the order of rows.
    """
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.Adam(
        [parameters[n] for n in model.shared_parameters()],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )
    best = {task: (float("inf"), model) for task in tasks}
    best = _kept(best, model, dataset)
    idle = 0
    for _ in range(options.epochs):
        for rows, drawn in _epoch(dataset, tasks, options.batch, generator):
            optimizer.zero_grad(set_to_none=True)
            multitask_loss(model, dataset, dataset.batch(rows, tasks), tasks, drawn, own=False).backward()
            optimizer.step()
        before = {task: loss for task, (loss, _) in best.items()}
        best = _kept(best, model, dataset)
        idle = 0 if any(best[t][0] < before[t] for t in tasks) else idle + 1
        if idle >= options.patience:
            break
    return {task: snapshot for task, (_, snapshot) in best.items()}


def _kept(
    best: Mapping[str, tuple[float, MultiTaskModel]], model: MultiTaskModel, dataset: Dataset
) -> dict[str, tuple[float, MultiTaskModel]]:
    """Replace the snapshot of every task whose validation loss has become better."""
    kept = dict(best)
    snapshot: MultiTaskModel | None = None
    for task, (least, _) in best.items():
        loss = validation_loss(model, dataset, task)
        if loss < least - 1e-4:
            snapshot = snapshot or copy.deepcopy(model)
            kept[task] = (loss, snapshot)
    return kept


def validation_loss(model: MultiTaskModel, dataset: Examples, task: str) -> float:
    """Return the mean validation loss of the shared part on one task; without rows, the training loss."""
    rows = dataset.rows("validation", task=task)
    rows = rows if len(rows) else dataset.rows("train", task=task)
    if not len(rows):
        return float("inf")
    logits = logits_of(model, dataset, task, rows, own=False)
    return float(row_losses(dataset.tasks[task], logits, labels_of(dataset, task, rows)).value.mean())


def _epoch(
    dataset: Examples, tasks: list[str], batch: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, dict[str, int]]]:
    """Yield the rows of every step of one epoch: every kind is spread over as many steps as the longest needs."""
    kinds = sorted({dataset.rows_of[t] for t in tasks})
    rows = {kind: dataset.rows("train", kind=kind) for kind in kinds}
    steps = -(-max(map(len, rows.values()), default=0) // batch)
    spread = {
        kind: r[torch.randperm(len(r), generator=generator)].tensor_split(steps)
        for kind, r in rows.items()
        if steps
    }
    for step in range(steps):
        parts = {kind: split[step] for kind, split in spread.items() if len(split[step])}
        yield torch.cat(list(parts.values())), {kind: len(rows) for kind, rows in parts.items()}
