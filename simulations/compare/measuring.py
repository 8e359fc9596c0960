"""From kept predictions to measures.

Notation: B rows.
"""

from collections.abc import Callable

import torch

from client.evaluation import further, score
from client.measures import amounts, ranking
from shared_model import schema
from shared_model.heads import measure_of, predicted

from .predictions import Floats


def first_measure(spec: schema.Task, found: Floats, labels: Floats) -> float:
    """Return the task's first measure (`shared_model.heads.measure_of`) of kept predictions."""
    if isinstance(spec, schema.Retrieval):
        return float((found < 11).mean())  # a rank is kept (`predictions.predicted`); recall@10
    logits, truth = _tensors(spec, found, labels)
    return score(spec, measure_of(spec).row_score(spec, logits, truth))


def measures(spec: schema.Task, found: Floats, labels: Floats, median: float) -> dict[str, float]:
    """Return all measures of kept predictions.

    Args:
        spec: The task.
        found: Kept predictions, shape (B,) or (B, O).
        labels: Shape (B,) or (B, O).
        median: Of the merchant's training labels, in the units of labels; read for numbers only.
    """
    first = {measure_of(spec).name: first_measure(spec, found, labels)}
    if isinstance(spec, schema.Retrieval):
        return first | _ranking(found)
    logits, truth = _tensors(spec, found, labels)
    more = further(spec, logits, truth)
    return first | more | _HALVES.get(spec.kind, _none)(spec, logits, truth, median)


def _ranking(ranks: Floats) -> dict[str, float]:
    """Of ranks from 1: an item choice has one right answer, so precision@10 is recall@10 / 10."""
    found = ranking.ranking(torch.from_numpy(ranks))
    hit = found.pop(ranking.FIRST)
    return {**found, "F1@10": 2 * hit / 11}


def _tensors(spec: schema.Task, found: Floats, labels: Floats) -> tuple[torch.Tensor, torch.Tensor]:
    logits, truth = torch.from_numpy(found), torch.from_numpy(labels)
    return (logits.unsqueeze(-1) if logits.dim() == 1 else logits), truth


def _regression(
    spec: schema.Task, logits: torch.Tensor, truth: torch.Tensor, median: float
) -> dict[str, float]:
    return amounts.halves(logits.squeeze(-1), truth, median)


def _count(spec: schema.Task, logits: torch.Tensor, truth: torch.Tensor, median: float) -> dict[str, float]:
    return amounts.halves(predicted(spec, logits).squeeze(-1), truth, median)


def _none(spec: schema.Task, logits: torch.Tensor, truth: torch.Tensor, median: float) -> dict[str, float]:
    return {}


_HALVES: dict[str, Callable[[schema.Task, torch.Tensor, torch.Tensor, float], dict[str, float]]] = {
    "regression": _regression,
    "count": _count,
}
