"""Rankings of a catalogue that need no model: what a learnt recommendation must beat to be worth serving.

Notation: B rows, I items of the catalogue, H earlier purchases of the rows' shoppers in all.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .data.dataset import Dataset


def popularity(dataset: Dataset, task: str) -> Tensor:
    """Return how often training rows chose each item, float, shape (I,).

    Args:
        dataset: The merchant's.
        task: A retrieval task.
    """
    return torch.from_numpy(dataset.sold(task).astype(np.float32))


def bought_before(dataset: Dataset, task: str, rows: Tensor) -> Tensor:
    """Return scores that rank first what this shopper bought before, then the rest by popularity, (B, I).

    Of earlier items the more frequent comes first, of equally frequent ones the more recent. Only purchases
    strictly before the row's time count.

    Args:
        dataset: The merchant's.
        task: A retrieval task.
        rows: Row numbers, shape (B,).
    """
    sold = popularity(dataset, task)
    most = sold.max() if len(sold) else torch.tensor(0.0)
    scores = (sold / (most + 1)).repeat(len(rows), 1)
    earlier = _earlier(dataset, task, rows.numpy())
    frequency = np.zeros(tuple(scores.shape), np.float32)
    np.add.at(frequency, (earlier.row, earlier.item), 1.0)
    recency = np.zeros_like(frequency)
    np.maximum.at(recency, (earlier.row, earlier.item), earlier.recency)
    return torch.where(torch.from_numpy(frequency) > 0, torch.from_numpy(1 + frequency + recency), scores)


class _Earlier(NamedTuple):
    """Earlier purchases: row, item, and recency in (0, 1), higher for newer ones; shape (H,) each."""

    row: NDArray[np.int64]
    item: NDArray[np.int64]
    recency: NDArray[np.float32]


def _earlier(dataset: Dataset, task: str, rows: NDArray[np.int64]) -> _Earlier:
    bought = dataset.purchases(task)
    units, times = np.asarray(bought.unit), np.asarray(bought.time)
    first = np.searchsorted(units, dataset.unit[rows], side="left")
    last = np.searchsorted(units, dataset.unit[rows], side="right")
    row, place = _flattened(last - first)
    before = times[first[row] + place] < dataset.time[rows][row]
    row, place = row[before], place[before]
    item = np.asarray(bought.item)[first[row] + place]
    recency = (place + 1) / ((last - first)[row] + 1)
    return _Earlier(row, item, recency.astype(np.float32))


def _flattened(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Rows repeated by their counts, and the place inside each row: [2, 1] -> [0, 0, 1], [0, 1, 0]."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
