"""Where values are missing. Notation: B rows."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model import schema
from shared_model.features import Batch
from shared_model.schema import Federation

from .dataset import Dataset

_PIECE = 50_000


def missing_shares(dataset: Dataset, federation: Federation) -> dict[str, float | None]:
    """Return the share of rows without a value for every slot (see `Quality.missing`).

    Where a tower reads what items are, so too the share of items, under `SLOT of items for TASK`.
    """
    empty: dict[str, int] = {}
    asked: dict[str, int] = {}
    for kind, rows in _by_kind(dataset):
        for slot, values in absent(dataset.batch(rows, tasks=()), federation.features).items():
            offered = slot in dataset.about.slots[kind]
            empty[slot] = empty.get(slot, 0) + (int(values.sum()) if offered else 0)
            asked[slot] = asked.get(slot, 0) + (len(rows) if offered else 0)
    of_rows = {slot: empty[slot] / asked[slot] if asked[slot] else None for slot in asked}
    return of_rows | _of_items(dataset, federation)


def _of_items(dataset: Dataset, federation: Federation) -> dict[str, float]:
    items = dataset.batch(torch.zeros(0, dtype=torch.long)).items
    return {
        f"{slot} of items for {name}": float(values.mean())
        for name, task in dataset.tasks.items()
        if isinstance(task, schema.Retrieval) and name in items
        for slot, values in absent(
            items[name], {n: f for n, f in federation.features.items() if n in task.content}
        ).items()
    }


def _by_kind(dataset: Dataset) -> Iterator[tuple[str, Tensor]]:
    for position, kind in enumerate(dataset.kinds):
        rows = torch.from_numpy(np.flatnonzero(dataset.kind == position))
        for start in range(0, len(rows), _PIECE):
            yield kind, rows[start : start + _PIECE]


def absent(batch: Batch, features: Mapping[str, schema.Feature]) -> dict[str, NDArray[np.bool_]]:
    """Return, for every slot of `features`, which rows of `batch` have no value, shape (B,)."""
    numeric = [n for n, f in features.items() if isinstance(f, schema.Numeric)]
    numbers = {name: batch.numeric[:, i].isnan() for i, name in enumerate(numeric)}
    ids = {name: (values.reshape(len(values), -1) == 0).all(1) for name, values in batch.ids.items()}
    vectors = {name: (values == 0).all(1) for name, values in batch.vectors.items()}
    return {slot: found.numpy() for slot, found in {**numbers, **ids, **vectors}.items()}
