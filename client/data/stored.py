"""The arrays of encoded rows, memory-mapped, and batches of them. Notation: N rows in all, B of a batch."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model.features import Batch

from .arrays import load

IN_MEMORY = 64 * 2**20
"""Rows of fewer bytes are held in memory."""


class Stored:
    """Encoded rows in the files that `draft.Draft` wrote, read-only.

    Attributes:
        labels: Task to the labels of all rows, as in `Batch.labels`, shape (N,) or (N, labels).
    """

    def __init__(self, folder: Path, tasks: Iterable[str]) -> None:
        """Open the features and the labels of `tasks`."""
        stored = _encoded(folder, tasks)
        small = sum(array.nbytes for array in stored.values()) < IN_MEMORY
        arrays = {name: _tensor(array, in_memory=small) for name, array in stored.items()}
        self._numeric = arrays["numeric"]
        self._ids = _named(arrays, "ids.")
        self._vectors = _named(arrays, "vectors.")
        self.labels: Mapping[str, Tensor] = _named(arrays, "labels.")

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows.

        Args:
            rows: Row numbers, int64, shape (B,).
            tasks: Whose labels; None for all of `labels`.
        """
        wanted = self.labels if tasks is None else {name: self.labels[name] for name in tasks}
        return Batch(
            numeric=self._numeric.index_select(0, rows),
            ids={name: table.index_select(0, rows).long() for name, table in self._ids.items()},
            vectors={name: table.index_select(0, rows) for name, table in self._vectors.items()},
            labels={name: table.index_select(0, rows) for name, table in wanted.items()},
        )


def _encoded(folder: Path, tasks: Iterable[str]) -> dict[str, NDArray[Any]]:
    names = {path.stem for path in folder.glob("*.npy")}
    labels = {f"labels.{task}" for task in tasks}
    wanted = {n for n in names if n == "numeric" or n.startswith(("ids.", "vectors."))} | labels
    return {name: load(folder, name) for name in sorted(wanted)}


def _tensor(array: NDArray[Any], *, in_memory: bool) -> Tensor:
    """Wrap an array; ids in memory are widened at once, those on disk batch by batch."""
    if not in_memory:
        with warnings.catch_warnings():  # torch warns of read-only memory; nothing here writes to it
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(array)
    found = torch.from_numpy(np.array(array))
    return found if found.is_floating_point() else found.long()


def _named(arrays: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in arrays.items() if name.startswith(prefix)}
