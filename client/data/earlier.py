"""What the shopper of every row bought before, for tasks that learn from repeats.

Only purchases strictly before a row's time count, so nothing of its own order is among them. Of each row the
`MOST` items that were bought last are kept.

Files, with N rows and E items in all, those of a row side by side, the latest first: `earlier.<task>.start`
(N + 1,) int64, where the items of each row begin; `earlier.<task>.item` (E,) int32, positions in the
catalogue; `.times` (E,) float32, orders that held the item; `.days` (E,) float32, since the last of them.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model.repeats import Earlier

from .arrays import Array, GrowingFolder, load, save

MOST = 256
"""Earlier items of a row; without a bound a shop's best customers would decide how much memory it takes."""
_DAY = np.timedelta64(1, "D")
_AT_ONCE = 1 << 20
"""About so many purchases are looked at together."""


class Rows(NamedTuple):
    """Whose rows they are, and of when; shape (N,) each. Of those that do not ask, nothing is written."""

    unit: NDArray[np.int64]
    time: NDArray[np.datetime64]
    asks: NDArray[np.bool_]


class Purchases(NamedTuple):
    """Who bought which catalogue item and when, in the order of unit and time; shape (P,) each.

    `time` is datetime64[us]; `item` is a position in the catalogue.
    """

    unit: NDArray[np.int64]
    time: NDArray[np.datetime64]
    item: NDArray[np.int64]


def write_earlier(folder: Path, task: str, rows: Rows, bought: Purchases) -> None:
    """Write what the shoppers of rows bought before."""
    first = np.searchsorted(bought.unit, rows.unit, side="left")
    last = np.where(rows.asks, np.searchsorted(bought.unit, rows.unit, side="right"), first)
    counts = [np.zeros(1, np.int64)]
    with GrowingFolder(folder) as written:
        for part in _parts(last - first):
            found = _found(rows.time[part], first[part], last[part], bought)
            written.append({f"earlier.{task}.{column}": found[column] for column in _COLUMNS})
            counts.append(np.bincount(found["row"], minlength=part.stop - part.start))
    save(folder, {f"earlier.{task}.start": np.concatenate(counts).cumsum()})


class EarlierItems:
    """What `write_earlier` wrote, read-only."""

    def __init__(self, folder: Path, task: str) -> None:
        self._start = load(folder, f"earlier.{task}.start")
        self._item, self._times, self._days = (load(folder, f"earlier.{task}.{c}") for c in _COLUMNS)

    def of(self, rows: Tensor) -> Earlier:
        """Return the earlier items of some rows, (B,), as many places wide as the longest list."""
        first = np.array(self._start[rows.numpy()])
        counts = self._start[rows.numpy() + 1] - first
        place = np.arange(counts.max(initial=0))
        there = place < counts[:, None]
        where = (first[:, None] + place)[there]
        item, times, days = (
            _padded(there, column[where]) for column in (self._item, self._times, self._days)
        )
        return Earlier(item.long(), times, days)


_COLUMNS = ("item", "times", "days")


def _padded(there: NDArray[np.bool_], values: Array) -> Tensor:
    padded = np.zeros(there.shape, values.dtype)
    padded[there] = values
    return torch.from_numpy(padded)


def _parts(counts: NDArray[np.int64]) -> Iterator[slice]:
    """Yield rows with about `_AT_ONCE` purchases together, at least one row at a time."""
    ends = np.flatnonzero(np.diff(counts.cumsum() // _AT_ONCE)) + 1
    bounds = [0, *ends.tolist(), len(counts)]
    yield from (slice(a, b) for a, b in pairwise(bounds) if b > a)


def _found(
    times: NDArray[np.datetime64], first: NDArray[np.int64], last: NDArray[np.int64], bought: Purchases
) -> dict[str, Array]:
    """Return the earlier items of some rows, and which row each is of."""
    counts = last - first
    row = np.repeat(np.arange(len(counts)), counts)
    place = first[row] + np.arange(len(row)) - np.repeat(counts.cumsum() - counts, counts)
    before = bought.time[place] < times[row]
    row, place = row[before], place[before]
    item, time = bought.item[place], bought.time[place]
    order = np.lexsort((place, item, row))
    row, item, time, place = row[order], item[order], time[order], place[order]
    begins = _changes(row) | _changes(item)
    starts = np.flatnonzero(begins)
    orders = np.add.reduceat(begins | _changes(time), starts, dtype=np.int64) if len(starts) else starts
    newest = np.append(starts[1:], len(row))[: len(starts)] - 1
    return _latest(row[newest], item[newest], orders, (times[row[newest]] - time[newest]) / _DAY)


def _latest(
    row: NDArray[np.int64], item: NDArray[np.int64], times: NDArray[np.int64], days: NDArray[np.float64]
) -> dict[str, Array]:
    """Return the `MOST` items of each row that were bought last, the latest first."""
    order = np.lexsort((item, days, row))
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row, side="left")
    kept = order[rank < MOST]
    return {
        "row": row[rank < MOST],
        "item": item[kept].astype(np.int32),
        "times": times[kept].astype(np.float32),
        "days": days[kept].astype(np.float32),
    }


def _changes(values: Array) -> NDArray[np.bool_]:
    """Return where a value differs from the one before; the first one does."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]
