"""What a federation is compared with: merchants that train alone, and all rows in one place.

Alone, a merchant may choose among a network per task, one network for all its tasks, and a linear model
shrunk to public constants, whichever does best on validation rows. A comparison with a weak one of them makes
federated learning look better than it is.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from client import serving_heads
from client.alone import PENALTIES, PENALTY, untrained_linear_model
from client.data.dataset import Dataset
from client.data.examples import Examples, Split
from client.evaluation import labels_of, logits_of
from client.training import multitask_loss
from shared_model import schema
from shared_model.heads import measure_of
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build

from .experiment import Baselines
from .scores import Key, Scores, merged, pooled_score, scores_of

_SPLITS: tuple[Split, ...] = ("validation", "test")


def learnable(dataset: Dataset, contract: schema.Federation) -> list[str]:
    """Return the common tasks of a merchant that baselines train on; choosing an item has floors instead."""
    return [
        t
        for t, task in dataset.tasks.items()
        if t in contract.tasks and not isinstance(task, schema.Retrieval)
    ]


def in_one_place(contract: schema.Federation) -> schema.Federation:
    """Return the contract for training that has all its rows in one place, where nothing must stay private.

    Every task that baselines train on gets a prior, since a head without one is no part of what they train.
    """
    tasks = {
        name: task if isinstance(task, schema.Retrieval) else replace(task, head="residual")
        for name, task in contract.tasks.items()
    }
    return replace(contract, tasks=tasks)


def trained_parameters(model: MultiTaskModel) -> list[str]:
    """Return all parameters but the own parts of heads: local tables and gates learn too."""
    return [name for name, _ in model.named_parameters() if not re.fullmatch(r"heads\..*\.own\..*", name)]


def linear(contract: schema.Federation, datasets: Mapping[str, Dataset]) -> Scores:
    """Return the scores of linear models, each merchant's own (`linear_models`)."""
    models = linear_models(contract, datasets)
    return merged(
        [
            scores_of(models[name], name, dataset, split, tasks=learnable(dataset, contract))
            for name, dataset in datasets.items()
            for split in _SPLITS
        ]
    )


def linear_models(contract: schema.Federation, datasets: Mapping[str, Dataset]) -> dict[str, MultiTaskModel]:
    """Return every merchant's own linear model, shrunk to public constants.

    One strength per task serves all merchants; the one with the best pooled validation score is taken, which
    no merchant alone could know. That favours this baseline. Without validation rows the strength is the
    client's own.
    """
    models = {name: untrained_linear_model(contract, dataset) for name, dataset in datasets.items()}
    for task in contract.tasks:
        holders = {name: d for name, d in datasets.items() if task in learnable(d, contract)}
        judged = {penalty: _fit_linear(models, holders, task, penalty) for penalty in PENALTIES}
        known = {penalty: score for penalty, score in judged.items() if not math.isnan(score)}
        _fit_linear(models, holders, task, min(known, key=known.__getitem__) if known else PENALTY)
    return models


def _fit_linear(
    models: Mapping[str, MultiTaskModel], holders: Mapping[str, Dataset], task: str, penalty: float
) -> float:
    """Fit one task at one strength; return the pooled validation score, NaN without validation rows."""
    for name, dataset in holders.items():
        head = serving_heads.fit(models[name], dataset, task, penalty=penalty)
        serving_heads.put(models[name], task, head)
    found = [scores_of(models[name], name, d, "validation", tasks=[task]) for name, d in holders.items()]
    return pooled_score(merged(found), task, "validation")


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
    model = build(replace(in_one_place(contract), bottom=bottom), generator=generator)
    found: Scores = {}
    for task, best in fitted(model, dataset, tasks, options, generator).items():
        found |= scores_of(best.model, name, dataset, "test", tasks=[task], own=False)
        if len(best.held_out):
            found[Key(name, task, "validation")] = best.held_out.double().numpy()
    return found


@dataclass
class Best:
    """The best epoch of one task so far.

    The epoch is chosen on validation rows, so its score on them is too good to compare methods by. Therefore
    it is chosen twice more, on one half of them each, and `held_out` has every row's score at the epoch that
    the other half chose.

    Attributes:
        model: At the best epoch.
        held_out: Per-row scores of the validation rows, shape (B,); none where training rows had to choose.
        losses: At the best epoch: over all rows, and over each half.
    """

    model: MultiTaskModel
    held_out: Tensor
    losses: tuple[float, float, float] = (math.inf, math.inf, math.inf)


def fitted(
    model: MultiTaskModel,
    dataset: Examples,
    tasks: list[str],
    options: Baselines,
    generator: torch.Generator,
) -> dict[str, Best]:
    """Train all but the own parts of heads, with Adam and early stopping; return every task's best epoch.

    Args:
        model: To train; changed in place.
        dataset: Rows of one merchant, or of all.
        tasks: To train on.
        options: Epochs, batch, learning rate.
        generator: Draws the order of rows, and which of their vectors are hidden.
    """
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.Adam(
        [parameters[n] for n in trained_parameters(model)],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )
    uniform = partial(Tensor.uniform_, generator=generator)
    best = {task: Best(model, torch.zeros(len(dataset.rows("validation", task=task)))) for task in tasks}
    idle = 0 if look(best, model, dataset) else 1
    for _ in range(options.epochs):
        for rows, drawn in _epoch(dataset, tasks, options.batch, generator):
            optimizer.zero_grad(set_to_none=True)
            seen = model.encoder.with_hidden(dataset.batch(rows, tasks), uniform)
            loss = multitask_loss(model, dataset, seen, tasks, drawn, own=False)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        idle = 0 if look(best, model, dataset) else idle + 1
        if idle >= options.patience:
            break
    return best


def look(best: dict[str, Best], model: MultiTaskModel, dataset: Examples) -> bool:
    """Note the tasks for which this epoch is the best one; return whether there is any.

    Own parts of heads count: those that were not trained are zero, and an item choice has nothing else.
    """
    snapshot: MultiTaskModel | None = None
    for task, kept in best.items():
        losses, scores = _validated(model, dataset, task)
        better = [new < old - 1e-4 for new, old in zip(losses, kept.losses, strict=True)]
        kept.losses = tuple(
            new if b else old for new, old, b in zip(losses, kept.losses, better, strict=True)
        )  # type: ignore[assignment]
        if better[0]:
            snapshot = snapshot or copy.deepcopy(model)
            kept.model = snapshot
        for half in (0, 1):
            if better[1 + half] and len(kept.held_out):
                kept.held_out[1 - half :: 2] = scores[1 - half :: 2]
    return snapshot is not None


def _validated(
    model: MultiTaskModel, dataset: Examples, task: str
) -> tuple[tuple[float, float, float], Tensor]:
    """Return the loss over all validation rows and over each half, and the per-row scores.

    Where there are no validation rows, training rows take their place.
    """
    rows = dataset.rows("validation", task=task)
    rows = rows if len(rows) else dataset.rows("train", task=task)
    spec, labels = dataset.tasks[task], labels_of(dataset, task, rows)
    logits = logits_of(model, dataset, task, rows)
    losses = row_losses(spec, logits, labels).value
    parts = (losses, losses[0::2], losses[1::2])
    means = tuple(float(part.mean()) if len(part) else float(losses.sum()) for part in parts)
    return means, measure_of(spec).row_score(spec, logits, labels)  # type: ignore[return-value]


def _epoch(
    dataset: Examples, tasks: list[str], batch: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, dict[str, float]]]:
    """Yield the rows of every step of one epoch; every kind is spread over all its steps."""
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
        yield torch.cat(list(parts.values())), {kind: float(len(rows)) for kind, rows in parts.items()}
