"""A merchant's data set as it was when it had few orders: the same rows, of which only the first train.

Its first n orders are the first n training rows of each kind that a shopper owns (n purchases, n arrivals),
and of rows that an item owns those that began no later than the n-th order. Their outcomes count although
some came later: what is asked is what n orders teach, not what was known on the day of the n-th. Features of
all rows are what they were, so validation and test rows tell the same of the past at every n.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from client.data.dataset import Dataset
from shared_model import library

_ORDERS = ("purchase", "visit", "table")
"""Kinds of which an order has one row; the first that a data set has counts."""


def orders_of(dataset: Dataset) -> int:
    """Return how many training orders there are."""
    return len(_moments(dataset))


def with_first_orders(dataset: Dataset, count: int | None, tasks: Iterable[str]) -> Dataset:
    """Return the data set with the first `count` training orders only.

    Args:
        dataset: The merchant's.
        count: n; None for all.
        tasks: Names of the tasks to keep.
    """
    kept = np.ones(len(dataset), dtype=bool)
    if count is not None:
        moments = _moments(dataset)
        end = moments[min(count, len(moments)) - 1] if count and len(moments) else None
        for kind in dataset.kinds:
            rows = dataset.rows("train", kind=kind).numpy()
            kept[rows] = _kept(dataset.time[rows], count, end, kind)
    return dataset.narrowed(tasks, kept)


def _moments(dataset: Dataset) -> NDArray[np.datetime64]:
    """Moments of the training orders, ascending."""
    kind = next((kind for kind in _ORDERS if kind in dataset.kinds), dataset.kinds[0])
    return np.sort(dataset.time[dataset.rows("train", kind=kind).numpy()])


def _kept(
    times: NDArray[np.datetime64], count: int, end: np.datetime64 | None, kind: str
) -> NDArray[np.bool_]:
    """Whether each row of a kind is one of the first."""
    if kind in library.ROW_KINDS and library.ROW_KINDS[kind].owner == "item":
        return np.zeros(len(times), dtype=bool) if end is None else times <= end
    kept = np.zeros(len(times), dtype=bool)
    kept[np.argsort(times, kind="stable")[:count]] = True
    return kept
