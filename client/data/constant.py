"""What a predictor reaches that ignores every feature: a score means little without it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from shared_model import schema

Labels = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number and what it is: log loss, RMSE, Poisson loss or recall@10."""

    metric: str
    value: float


def constant_score(task: schema.Task, train: Labels, test: Labels, *, items: int = 0) -> Score | None:
    """Return how the best constant of the training labels does on the test labels.

    Args:
        task: What the labels are.
        train: Labels without missing ones, shape (B,) or (B, labels).
        test: The same.
        items: Size of the catalogue of a retrieval task.

    Returns:
        None where there are no labels on one side.
    """
    if not len(train) or not len(test):
        return None
    metric, score = _SCORES[task.kind]
    classes = len(task.classes) if isinstance(task, schema.Multiclass) else items
    return Score(metric=metric, value=score(train, test, classes))


def _log_loss(train: Labels, test: Labels, classes: int) -> float:
    rate = _inside(train.mean(0))
    return float(-(test * np.log(rate) + (1 - test) * np.log1p(-rate)).mean())


def _class_loss(train: Labels, test: Labels, classes: int) -> float:
    counts = np.bincount(train.astype(np.int64), minlength=classes)
    return float(-np.log(_inside(counts / counts.sum()))[test.astype(np.int64)].mean())


def _rmse(train: Labels, test: Labels, classes: int) -> float:
    return float(np.sqrt(((test - train.mean()) ** 2).mean()))


def _poisson_loss(train: Labels, test: Labels, classes: int) -> float:
    rate = max(float(train.mean()), 1e-6)
    return float((rate - test * np.log(rate) + gammaln(test + 1)).mean())


def _recall(train: Labels, test: Labels, classes: int) -> float:
    counts = np.bincount(train.astype(np.int64), minlength=classes)
    popular = np.argsort(-counts, kind="stable")[:10]
    return float(np.isin(test.astype(np.int64), popular).mean())


def _inside(rate: Labels) -> Labels:
    return np.clip(rate, 1e-6, 1 - 1e-6)


_SCORES: Mapping[str, tuple[str, Callable[[Labels, Labels, int], float]]] = {
    "binary": ("log loss", _log_loss),
    "multilabel": ("log loss", _log_loss),
    "multiclass": ("log loss", _class_loss),
    "regression": ("RMSE", _rmse),
    "count": ("Poisson loss", _poisson_loss),
    "retrieval": ("recall@10", _recall),
}
