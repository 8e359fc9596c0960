"""What rows of items say where their sales were told with noise: labels, columns, and which rows count.

All of it is computed from the released counts (`counts.py`), so whoever has them knows it, and training on it
costs nothing more. Notation: N rows of a private view, I items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model import schema
from shared_model.schema import Federation, Task

from .arrays import load
from .counts import Counts
from .encoding import encode_label, encode_numbers

_COLUMNS = {"units_7d": (1, 1.0), "units_28d": (4, 1.0), "units_90d": (13, 90 / 91)}
"""Column -> weeks before the row, and what their sum is multiplied with."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What replaces what was encoded.

    Attributes:
        labels: Task -> labels of all rows, NaN where there is none, (N,).
        numeric: Position among the numeric features -> values of all rows, NaN where missing, (N,).
        of_items: Whether a row belongs to an item, (N,).
        counts: Whether a row counts, (N,): rows of items that are not listed do not.
    """

    labels: Mapping[str, Tensor]
    numeric: Mapping[int, Tensor]
    of_items: Tensor
    counts: Tensor


def told(
    folder: Path, order: NDArray[np.int64], tasks: Mapping[str, Task], federation: Federation, counts: Counts
) -> Told:
    """Return what the counts make of the rows of a private view.

    Args:
        folder: What `private_build` wrote.
        order: Which rows, in which order, (N,).
        tasks: Those with noised labels.
        federation: The contract.
        counts: As they were told.
    """
    item, week = _known(folder, order, counts)
    here = item >= 0
    place, moment = item[here], week[here]

    def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
        all_rows = np.full(len(order), np.nan)
        all_rows[here] = values
        return all_rows

    of_items = load(folder, "counts.item")[order] >= 0
    counting = ~of_items
    counting[here] = counts.listed(place, moment)
    sums = {
        column: spread(factor * counts.between(place, moment, weeks).clip(0))
        for column, (weeks, factor) in _COLUMNS.items()
    }
    labels = {
        name: _label(name, task, spread(_sold(counts, place, moment, task))) for name, task in tasks.items()
    }
    return Told(
        labels=labels,
        numeric=_numeric(sums, federation),
        of_items=torch.from_numpy(of_items),
        counts=torch.from_numpy(counting),
    )


def _known(
    folder: Path, order: NDArray[np.int64], counts: Counts
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the rows' items in `counts`, -1 for none, and their weeks.

    The assortment may be another one than when the counts were told.
    """
    places = {item: place for place, item in enumerate(counts.items)}
    place_of = np.array([places.get(item, -1) for item in load(folder, "counts.items").tolist()] + [-1])
    return place_of[load(folder, "counts.item")[order]], load(folder, "counts.week")[order]


def _sold(
    counts: Counts, item: NDArray[np.int64], week: NDArray[np.int64], task: Task
) -> NDArray[np.float64]:
    """Units in the horizon after each row; a number below 0, which is noise, counts as 0."""
    weeks = task.horizon_days // 7
    return counts.between(item, week - weeks, weeks).clip(0)


def _label(name: str, task: Task, values: NDArray[np.float64]) -> Tensor:
    column = pl.Series(values, nan_to_null=True)
    return torch.from_numpy(np.array(encode_label(name, task, column, lambda row: f"row {row}")))


def _numeric(sums: Mapping[str, NDArray[np.float64]], federation: Federation) -> dict[int, Tensor]:
    numeric = [(n, f) for n, f in federation.features.items() if isinstance(f, schema.Numeric)]
    return {
        place: torch.from_numpy(encode_numbers(sums[column], feature))
        for place, (name, feature) in enumerate(numeric)
        if (column := feature.column or name) in sums
    }
