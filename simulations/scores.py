"""Per-row scores: what every method is compared by.

A method is a function from a merchant's rows to logits. Its scores on a split are the per-row scores of the
task's first measure (`shared_model.heads.measure_of`), so two methods can be compared row by row.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.data.dataset import Dataset
from client.data.examples import Split
from client.evaluation import Predict, first_scores, labels_of, predictor
from client.measures.ranking import FLOORS
from shared_model import schema
from shared_model.heads import initial_logit, measure_of
from shared_model.model import MultiTaskModel

Floats = NDArray[np.float64]


class Key(NamedTuple):
    """Whose rows: a merchant, a task, a split."""

    merchant: str
    task: str
    split: Split


Scores = dict[Key, Floats]
"""Per-row scores of one method; a key is absent where the merchant has no labelled rows."""


def scores_of(
    model: MultiTaskModel,
    merchant: str,
    dataset: Dataset,
    split: Split,
    *,
    tasks: list[str],
    own: bool = True,
) -> Scores:
    """Return the scores of a model on one merchant's split."""
    found: Scores = {}
    for task in tasks:
        rows = dataset.rows(split, task=task)
        if len(rows):
            predict = predictor(model, dataset, task, own=own)
            found[Key(merchant, task, split)] = scores_by(dataset, task, rows, predict)
    return found


def row_scores(dataset: Dataset, task: str, rows: Tensor, logits: Tensor) -> Floats:
    """Return the per-row scores of `logits`, shape (B,)."""
    spec = dataset.tasks[task]
    scored = measure_of(spec).row_score(spec, logits, labels_of(dataset, task, rows))
    return scored.double().numpy()


def scores_by(dataset: Dataset, task: str, rows: Tensor, predict: Predict) -> Floats:
    """Return the per-row scores of what `predict` makes of rows, of few at a time, shape (B,)."""
    outputs = len(dataset.catalogues.get(task, ()))
    return first_scores(dataset, task, rows, predict, outputs=outputs).double().numpy()


def constant_scores(merchant: str, dataset: Dataset, split: Split) -> Scores:
    """Return the scores of the best constant: the mean training label, or the public one without any."""
    found: Scores = {}
    for task, spec in dataset.tasks.items():
        rows = dataset.rows(split, task=task)
        if len(rows) and not isinstance(spec, schema.Retrieval):
            logits = constant_logits(spec, labels_of(dataset, task, dataset.rows("train", task=task)))
            found[Key(merchant, task, split)] = row_scores(dataset, task, rows, logits.expand(len(rows), -1))
    return found


def floor_scores(merchant: str, dataset: Dataset, split: Split) -> dict[str, Scores]:
    """Return, for retrieval tasks, the scores of the two floors: `popularity` and `bought before`."""
    found: dict[str, Scores] = {floor: {} for floor in FLOORS}
    for task, spec in dataset.tasks.items():
        rows = dataset.rows(split, task=task)
        if not (isinstance(spec, schema.Retrieval) and len(rows)):
            continue
        for floor, ranked in FLOORS.items():
            predict = partial(ranked, dataset, task)
            found[floor][Key(merchant, task, split)] = scores_by(dataset, task, rows, predict)
    return found


def floors(datasets: Mapping[str, Dataset]) -> dict[str, Scores]:
    """Return the scores of both floors of retrieval tasks at every merchant, on validation and test rows."""
    splits: tuple[Split, ...] = ("validation", "test")
    found = [floor_scores(name, dataset, split) for name, dataset in datasets.items() for split in splits]
    return {floor: merged([one[floor] for one in found]) for floor in FLOORS}


def owners_of(dataset: Dataset, key: Key) -> NDArray[np.int64]:
    """Return whose each labelled row of a key is, shape (B,): a shopper, or for tasks of items an item."""
    return np.asarray(dataset.unit[dataset.rows(key.split, task=key.task).numpy()])


def pooled_score(scores: Scores, task: str, split: Split) -> float:
    """Return the mean of a method's per-row scores over all merchants' rows, NaN without any."""
    rows = [values for key, values in scores.items() if (key.task, key.split) == (task, split)]
    return float(np.concatenate(rows).mean()) if rows else float("nan")


def averaged(runs: list[Scores]) -> Scores:
    """Return the mean over runs (seeds) of every row's score."""
    return {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}


def merged(parts: Mapping[str, Scores] | list[Scores]) -> Scores:
    """Return the union of scores of different merchants."""
    merged_scores: Scores = {}
    for part in parts.values() if isinstance(parts, Mapping) else parts:
        merged_scores.update(part)
    return merged_scores


def constant_logits(spec: schema.Task, labels: Tensor) -> Tensor:
    """Return the logits of the mean training label, or of the public constant without any, shape (1, O)."""
    outputs = labels.shape[1:].numel() if isinstance(spec, schema.Multilabel) else 1
    if isinstance(spec, schema.Multiclass):
        counts = torch.bincount(labels.long(), minlength=len(spec.classes)).float() + 1.0
        return (counts / counts.sum()).log().unsqueeze(0)
    if not len(labels):
        return torch.full((1, outputs), initial_logit(spec))
    if isinstance(spec, schema.Binary | schema.Multilabel):
        return ((labels.sum(0) + 0.5) / (len(labels) + 1.0)).logit().reshape(1, outputs)
    if isinstance(spec, schema.CountTask):
        return ((labels.sum(0) + 0.5) / (len(labels) + 0.5)).log().reshape(1, 1)
    return labels.mean(0).reshape(1, 1)
