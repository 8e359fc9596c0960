"""How the labels of a contract's tasks follow from scores in a scenario.

Notation: n rows, O outputs of one task.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.data.encoding import scale
from shared_model import schema

from .transforms import undone

Floats = NDArray[np.float64]

ITEMS = 12
"""Items of a merchant's catalogue, where a task asks for one."""


class Outcome(NamedTuple):
    """One kind of task.

    Attributes:
        outputs: How many scores a row has.
        level: Of the scores where all features are silent, as the contract publishes it.
        draw: Labels of the scores (n, O), given the noise of a number.
        column: Of a table, of what was drawn.
        encoded: What the client makes of that column, float32.
    """

    outputs: Callable[[Any], int]
    level: Callable[[Any], float]
    draw: Callable[[Any, Floats, float, np.random.Generator], Floats]
    column: Callable[[Any, Floats, str], pl.Series]
    encoded: Callable[[Any, Floats], NDArray[np.float32]]


def _logit(rate: float) -> float:
    return float(np.log(rate / (1 - rate)))


def _happens(task: schema.Task, scores: Floats, noise: float, generator: np.random.Generator) -> Floats:
    happened = np.asarray(generator.random(scores.shape) < 1 / (1 + np.exp(-scores)), np.float64)
    return happened[:, 0] if scores.shape[1] == 1 else happened


def _measured(
    task: schema.Regression, scores: Floats, noise: float, generator: np.random.Generator
) -> Floats:
    drawn = scores[:, 0] + noise * generator.standard_normal(len(scores))
    raw = undone(task.center + task.scale * drawn, task.transform)
    return np.asarray(np.clip(raw, task.low, task.high))


def _counted(task: schema.CountTask, scores: Floats, noise: float, generator: np.random.Generator) -> Floats:
    rate = np.exp(np.minimum(scores[:, 0], np.log(task.high)))
    return np.asarray(np.minimum(generator.poisson(rate), np.floor(task.high)), np.float64)


def _chosen(task: schema.Task, scores: Floats, noise: float, generator: np.random.Generator) -> Floats:
    return np.asarray(np.argmax(scores + generator.gumbel(size=scores.shape), 1), np.float64)


def _sets(task: schema.Multilabel, drawn: Floats, merchant: str) -> pl.Series:
    named = [
        [name for name, on in zip(task.labels, row, strict=True) if on]
        for row in drawn.reshape(-1, len(task.labels))
    ]
    return pl.Series(named, dtype=pl.List(pl.String))


def _classes(task: schema.Multiclass, drawn: Floats, merchant: str) -> pl.Series:
    return pl.Series(np.array(task.classes)[drawn.astype(np.int64)])


def _items(task: schema.Retrieval, drawn: Floats, merchant: str) -> pl.Series:
    return pl.Series([f"{merchant}-i{item:.0f}" for item in drawn])


def _plain(task: schema.Task, drawn: Floats, merchant: str) -> pl.Series:
    return pl.Series(drawn)


def _as_drawn(task: schema.Task, drawn: Floats) -> NDArray[np.float32]:
    return drawn.astype(np.float32)


def _no_catalogue(task: schema.Task, drawn: Floats) -> NDArray[np.float32]:
    raise ValueError("Expected no retrieval task: its catalogue is made from files.")


OUTCOMES: Mapping[str, Outcome] = {
    "binary": Outcome(lambda t: 1, lambda t: _logit(t.initial), _happens, _plain, _as_drawn),
    "multilabel": Outcome(
        lambda t: len(t.labels),
        lambda t: _logit(t.initial),
        _happens,
        _sets,
        lambda t, drawn: drawn.reshape(-1, len(t.labels)).astype(np.float32),
    ),
    "regression": Outcome(
        lambda t: 1,
        lambda t: t.initial,
        _measured,
        _plain,
        lambda t, drawn: scale(drawn, t).astype(np.float32),
    ),
    "count": Outcome(lambda t: 1, lambda t: float(np.log(t.initial)), _counted, _plain, _as_drawn),
    "multiclass": Outcome(lambda t: len(t.classes), lambda t: 0.0, _chosen, _classes, _as_drawn),
    "retrieval": Outcome(lambda t: min(ITEMS, t.max_items), lambda t: 0.0, _chosen, _items, _no_catalogue),
}
"""Kind of task -> how its labels are drawn and written."""
