"""From kept predictions to measures.

Notation: B rows.
"""

from typing import NamedTuple

import numpy as np
import torch

from client.evaluation import further, score
from client.measures import amounts, ranking
from shared_model import schema
from shared_model.heads import measure_of

from .predictions import Floats

_NUMBERS = ("regression", "count")


class Middle(NamedTuple):
    """Where a merchant's training labels have their middle, in their units.

    Attributes:
        median: Half of them are at most this.
        share: Of them that are above it.
    """

    median: float
    share: float


def middle(known: Floats) -> Middle:
    """Return the middle of labels, shape (B,), at least one."""
    median = float(np.median(known))
    return Middle(median, float((known > median).mean()))


def first_measure(spec: schema.Task, found: Floats, labels: Floats) -> float:
    """Return the task's first measure (`shared_model.heads.measure_of`) of kept predictions."""
    if isinstance(spec, schema.Retrieval):
        return float((found < 11).mean())  # a rank is kept (`predictions.predicted`); recall@10
    logits, truth = _tensors(spec, found, labels)
    return score(spec, measure_of(spec).row_score(spec, logits, truth))


def measures(spec: schema.Task, found: Floats, labels: Floats, known: Middle | None) -> dict[str, float]:
    """Return all measures of kept predictions.

    Args:
        spec: The task.
        found: Kept predictions, shape (B,) or (B, O).
        labels: Shape (B,) or (B, O).
        known: Of the merchant's training labels, where they are numbers and it has any; without it, whether
            high was told from low is not measured.
    """
    first = {measure_of(spec).name: first_measure(spec, found, labels)}
    if isinstance(spec, schema.Retrieval):
        return first | _ranking(found)
    logits, truth = _tensors(spec, found, labels)
    more = first | further(spec, logits, truth)
    if known is None or spec.kind not in _NUMBERS:
        return more
    return more | amounts.halves(logits.squeeze(-1), truth, *known)


def _ranking(ranks: Floats) -> dict[str, float]:
    """Of ranks from 1: an item choice has one right answer, so precision@10 is recall@10 / 10."""
    found = ranking.ranking(torch.from_numpy(ranks))
    hit = found.pop(ranking.FIRST)
    return {**found, "F1@10": 2 * hit / 11}


def _tensors(spec: schema.Task, found: Floats, labels: Floats) -> tuple[torch.Tensor, torch.Tensor]:
    logits, truth = torch.from_numpy(found), torch.from_numpy(labels)
    return (logits.unsqueeze(-1) if logits.dim() == 1 else logits), truth
