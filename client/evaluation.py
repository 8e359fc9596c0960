"""How well the merchant's model predicts, on the merchant's own rows. Nothing of it leaves the shop."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from shared_model import schema
from shared_model.heads import measure_of, predicted, rank_of
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel
from shared_model.retrieval import CELLS, RetrievalHead

from .data.dataset import Dataset
from .data.examples import Examples, Split
from .measures import amounts, classification, ranking

Predict = Callable[[Tensor], Tensor]
"""From row numbers, (B,), to logits, (B, O)."""

_CHUNK = 8192


@torch.no_grad()
def logits_of(
    model: MultiTaskModel, dataset: Examples, task: str, rows: Tensor, *, own: bool = True
) -> Tensor:
    """Return the logits of one task for `rows`, shape (B, O); without `own`, those of the prior alone."""
    return all_logits(predictor(model, dataset, task, own=own), rows)


@torch.no_grad()
def all_logits(predict: Predict, rows: Tensor) -> Tensor:
    """Return what `predict` says of `rows`, shape (B, O)."""
    chunks = [predict(chunk) for chunk in torch.split(rows, _CHUNK)]
    return torch.cat(chunks) if chunks else torch.zeros(0, 1)


@torch.no_grad()
def losses_of(model: MultiTaskModel, dataset: Examples, task: str, rows: Tensor) -> Tensor:
    """Return the row losses of one task, shape (B,); of the logits only some exist at a time."""
    spec, predict = dataset.tasks[task], predictor(model, dataset, task)
    parts = [
        row_losses(spec, predict(part), labels_of(dataset, task, part)).value
        for part in some_at_a_time(rows, model.head(task).own.weight.shape[-2])
    ]
    return torch.cat(parts)


def predictor(model: MultiTaskModel, dataset: Examples, task: str, *, own: bool = True) -> Predict:
    """Return a function from rows to logits; the items of a catalogue are encoded once for all calls."""
    head = model.head(task)
    if not isinstance(head, RetrievalHead):
        return lambda rows: model(dataset.batch(rows, [task]), [task], own=own)[task]
    with torch.no_grad():
        vectors = model.items(task, dataset.batch(torch.zeros(0, dtype=torch.long), [task]))

    def scores(rows: Tensor) -> Tensor:
        batch = dataset.batch(rows, [task])
        z = model.represent(batch, [task])[task]
        return head.scores(z, vectors, own=own, earlier=batch.earlier.get(task))

    return scores


@torch.no_grad()
def first_scores(dataset: Examples, task: str, rows: Tensor, predict: Predict, *, outputs: int = 1) -> Tensor:
    """Return the per-row scores of the task's first measure, shape (B,).

    Args:
        dataset: The rows' data.
        task: Its name.
        rows: Row numbers, all with a label.
        predict: From rows to logits.
        outputs: O; only about `CELLS` logits exist at a time.
    """
    spec = dataset.tasks[task]
    measure = measure_of(spec)
    parts = [
        measure.row_score(spec, predict(part), labels_of(dataset, task, part))
        for part in some_at_a_time(rows, outputs)
    ]
    return torch.cat(parts) if parts else torch.zeros(0)


def some_at_a_time(rows: Tensor, outputs: int) -> tuple[Tensor, ...]:
    """Return the rows in parts of which each has about `CELLS` logits at most."""
    return torch.split(rows, max(1, min(_CHUNK, CELLS // max(1, outputs))))


def labels_of(dataset: Examples, task: str, rows: Tensor) -> Tensor:
    """Return the labels of one task for `rows`, as in `Batch.labels`."""
    return dataset.batch(rows, [task]).labels[task]


def score(task: schema.Task, row_scores: Tensor) -> float:
    """Return the task's first measure from its per-row scores (`shared_model.heads.measure_of`)."""
    mean = float(row_scores.double().mean()) if len(row_scores) else float("nan")
    return mean**0.5 if measure_of(task).root else mean


def evaluate(
    model: MultiTaskModel,
    dataset: Dataset,
    split: Split,
    *,
    tasks: Iterable[str] | None = None,
    own: bool = True,
) -> dict[str, dict[str, float]]:
    """Return every task's measures on one split: the first one, and what else its kind is usually judged by.

    Args:
        model: The model to judge.
        dataset: The merchant's rows.
        split: `train`, `validation` or `test`; rows without a label do not count.
        tasks: Names; all tasks of the merchant by default.
        own: With the merchant's own parts, or the prior alone.
    """
    measures: dict[str, dict[str, float]] = {}
    for name in dataset.tasks if tasks is None else tasks:
        rows = dataset.rows(split, task=name)
        if not len(rows):
            continue
        spec = dataset.tasks[name]
        if isinstance(spec, schema.Retrieval):
            measures[name] = ranking.measured(dataset, name, rows, predictor(model, dataset, name, own=own))
            continue
        logits, labels = logits_of(model, dataset, name, rows, own=own), labels_of(dataset, name, rows)
        first = measure_of(spec)
        measures[name] = {
            first.name: score(spec, first.row_score(spec, logits, labels)),
            **further(spec, logits, labels),
        }
    return measures


def further(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return what else a kind of task is usually judged by (`client.measures`), of at least one row.

    Args:
        spec: The task.
        logits: Shape (B, O).
        labels: As in `Batch.labels`, none missing.
    """
    return _MORE[spec.kind](spec, logits, labels)


def _binary(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    return classification.binary(logits.squeeze(-1), labels)


def _multiclass(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    return classification.multiclass(logits, labels)


def _multilabel(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    return classification.multilabel(logits, labels)


def _regression(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    truth = predicted(spec, labels.unsqueeze(-1)).squeeze(-1)
    return amounts.errors(predicted(spec, logits).squeeze(-1), truth) | amounts.normalised(
        logits.squeeze(-1), labels
    )


def _count(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    rate = predicted(spec, logits).squeeze(-1)
    return amounts.errors(rate, labels) | amounts.normalised(rate, labels)


def _retrieval(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    found = ranking.ranking(rank_of(logits, labels))
    return {name: value for name, value in found.items() if name != ranking.FIRST}


_MORE: dict[str, Callable[[schema.Task, Tensor, Tensor], dict[str, float]]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "multilabel": _multilabel,
    "regression": _regression,
    "count": _count,
    "retrieval": _retrieval,
}
