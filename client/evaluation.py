"""How well the merchant's model predicts, on the merchant's own rows. Nothing of it leaves the shop."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_f1_score,
    binary_precision,
    binary_recall,
)
from torchmetrics.functional.regression import mean_absolute_error

from shared_model import schema
from shared_model.heads import measure_of, predicted, rank_of
from shared_model.model import MultiTaskModel

from .data.examples import Examples, Split

_CHUNK = 8192
_LEAST_OF_EACH = 5
"""Fewer positive or negative labels make an AUC of noise, so none is given."""


@torch.no_grad()
def logits_of(
    model: MultiTaskModel, dataset: Examples, task: str, rows: Tensor, *, own: bool = True
) -> Tensor:
    """Return the logits of one task for `rows`, shape (B, O); without `own`, those of the prior alone."""
    chunks = [model(dataset.batch(c, [task]), [task], own=own)[task] for c in torch.split(rows, _CHUNK)]
    return torch.cat(chunks) if chunks else torch.zeros(0, 1)


def labels_of(dataset: Examples, task: str, rows: Tensor) -> Tensor:
    """Return the labels of one task for `rows`, as in `Batch.labels`."""
    return dataset.batch(rows, [task]).labels[task]


def score(task: schema.Task, row_scores: Tensor) -> float:
    """Return the task's first measure from its per-row scores (`shared_model.heads.measure_of`)."""
    mean = float(row_scores.double().mean()) if len(row_scores) else float("nan")
    return mean**0.5 if measure_of(task).root else mean


def evaluate(
    model: MultiTaskModel,
    dataset: Examples,
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
        logits, labels = logits_of(model, dataset, name, rows, own=own), labels_of(dataset, name, rows)
        first = measure_of(spec)
        measures[name] = {
            first.name: score(spec, first.row_score(spec, logits, labels)),
            **_MORE.get(spec.kind, _nothing)(spec, logits, labels),
        }
    return measures


def _binary(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    probability, truth = logits.squeeze(-1).sigmoid(), labels.long()
    measures = {
        "accuracy": float(((probability > 0.5) == (labels > 0.5)).double().mean()),
        "precision": float(binary_precision(probability, truth)),
        "recall": float(binary_recall(probability, truth)),
        "F1": float(binary_f1_score(probability, truth)),
    }
    if min(int(truth.sum()), int((1 - truth).sum())) >= _LEAST_OF_EACH:
        measures["AUC"] = float(binary_auroc(probability, truth))
    return measures


def _regression(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    truth = predicted(spec, labels.unsqueeze(-1))
    return {"MAE": float(mean_absolute_error(predicted(spec, logits), truth))}


def _retrieval(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    return {"MRR": float((1 / rank_of(logits, labels)).double().mean())}


def _nothing(spec: schema.Task, logits: Tensor, labels: Tensor) -> dict[str, float]:
    return {}


_MORE: dict[str, Callable[[schema.Task, Tensor, Tensor], dict[str, float]]] = {
    "binary": _binary,
    "regression": _regression,
    "retrieval": _retrieval,
}
