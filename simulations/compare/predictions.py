"""What methods predicted, and what was true, as files.

Predictions are kept, not scores: every measure is computed from them later, so a new measure needs no new
training.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.data.dataset import Dataset
from client.data.examples import Split
from client.evaluation import labels_of
from shared_model import files, schema
from shared_model.heads import rank_of

Floats = NDArray[np.float32]


class Place(NamedTuple):
    """Whose rows: a split, a merchant, a task."""

    split: Split
    merchant: str
    task: str


Predictions = dict[Place, Floats]
"""Logits of every labelled row, shape (B,) or (B, O); of an item choice the rank of the chosen item, (B,)."""


Found = dict[str, Predictions]
"""Predictions by what was served: the adoption of a federated training, otherwise `heads`."""


class Truth(NamedTuple):
    """Labels and owners of the rows that are predicted.

    Attributes:
        labels: As in `Batch.labels`.
        owner: Number of the shopper at its merchant, shape (B,).
    """

    labels: Predictions
    owner: dict[Place, NDArray[np.int64]]


def predicted(dataset: Dataset, place: Place, logits: Tensor) -> Floats:
    """Return what is kept of the logits of a place's rows, shape (B, O)."""
    spec = dataset.tasks[place.task]
    if isinstance(spec, schema.Retrieval):
        rows = dataset.rows(place.split, task=place.task)
        return _single(rank_of(logits, labels_of(dataset, place.task, rows)))
    return _single(logits)


def truth_of(datasets: Mapping[str, Dataset], tasks: Mapping[str, schema.Task]) -> Truth:
    """Return the labels of the contract's tasks at every merchant, on all three splits."""
    labels: Predictions = {}
    owner: dict[Place, NDArray[np.int64]] = {}
    for merchant, dataset in datasets.items():
        for task in (t for t in dataset.tasks if t in tasks):
            for split in ("train", "validation", "test"):
                rows = dataset.rows(split, task=task)
                if len(rows):
                    place = Place(split, merchant, task)
                    labels[place] = labels_of(dataset, task, rows).numpy().astype(np.float32)
                    owner[place] = np.asarray(dataset.unit[rows.numpy()], np.int64)
    return Truth(labels, owner)


def save(path: Path, arrays: Mapping[str, Mapping[Place, NDArray[np.generic]]]) -> None:
    """Replace the file at `path` by named sets of arrays, wholly or not at all."""
    flat = {
        "/".join((name, *place)): array for name, found in arrays.items() for place, array in found.items()
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **flat)  # type: ignore[arg-type]
    files.write(path, buffer.getvalue(), durable=False)


def load(path: Path) -> dict[str, dict[Place, NDArray[np.float32]]]:
    """Return what `save` wrote."""
    found: dict[str, dict[Place, NDArray[np.float32]]] = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            name, split, merchant, task = key.split("/")
            found.setdefault(name, {})[Place(split, merchant, task)] = arrays[key]
    return found


def _single(values: Tensor) -> Floats:
    values = values.squeeze(-1) if values.dim() > 1 and values.shape[-1] == 1 else values
    return values.detach().to(torch.float32).numpy()
