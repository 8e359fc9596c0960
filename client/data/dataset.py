"""A merchant's examples, encoded once into `<state>/encoded/` (`kept.py`) and then memory-mapped."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.config import MerchantConfig
from shared_model import schema
from shared_model.features import Batch
from shared_model.schema import Federation

from . import meta
from .arrays import load
from .assortment import read_items
from .build import build
from .earlier import EarlierItems, Purchases
from .kept import kept
from .reading import TableReading, TaskStatus
from .split import PARTS, Part
from .stored import Stored


class Dataset:
    """Encoded examples, read-only.

    Notation: N rows in all, B rows of a batch.

    Attributes:
        tasks: The tasks that are on: the contract's and the merchant's own.
        own_tasks: Those of them that are not in the contract.
        rows_of: Task to row kind; "table" for a ready table.
        catalogues: Retrieval task to item ids, most sold first; its labels are positions in it.
        kinds: All row kinds; `kind` holds positions in it.
        kind: Row kind of every row, shape (N,).
        unit: Owner of every row, numbered from 0, shape (N,).
        time: Moment of every row, UTC, datetime64[us], NaT where it has none, shape (N,).
        status: Every wanted task, and why it is on or off.
        readings: What was read and dropped.
        about: Everything else that was noted while encoding.
    """

    def __init__(self, folder: Path, config: MerchantConfig, federation: Federation) -> None:
        self.about = meta.read(folder)
        self.status: Mapping[str, TaskStatus] = self.about.status
        self.readings: tuple[TableReading, ...] = self.about.readings
        self.tasks: Mapping[str, schema.Task] = {n: t for n, t in config.tasks.items() if self.status[n].on}
        self.own_tasks = config.own_tasks & frozenset(self.tasks)
        self.rows_of: Mapping[str, str] = self.about.rows_of
        self.catalogues = {name: c for name, c in self.about.catalogues.items() if name in self.tasks}
        self.kinds = self.about.kinds
        self.kind: NDArray[np.uint8] = load(folder, "kind")
        self.unit: NDArray[np.int64] = load(folder, "unit")
        self.time: NDArray[np.datetime64] = load(folder, "time")
        self._folder = folder
        self._part = np.array(load(folder, "part"))
        self._stored = Stored(folder, self.tasks)
        self._items = {
            name: read_items(folder, name)
            for name, task in self.tasks.items()
            if isinstance(task, schema.Retrieval) and task.content
        }
        self._earlier = {
            name: EarlierItems(folder, name)
            for name, task in self.tasks.items()
            if isinstance(task, schema.Retrieval) and task.repeats
        }
        self._rows = lru_cache(maxsize=None)(self._find)

    def __len__(self) -> int:
        return len(self._part)

    def rows(
        self,
        split: Literal["train", "validation", "test"],
        *,
        kind: str | None = None,
        task: str | None = None,
    ) -> Tensor:
        """Return the numbers of the rows of a part of the split, ascending, int64.

        Args:
            split: Which part.
            kind: Only rows of this kind.
            task: Only rows that have a label of this task.
        """
        return self._rows(split, kind, task)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows.

        Args:
            rows: Row numbers, int64, shape (B,).
            tasks: Whose labels; None for all of `tasks`.
        """
        found = self._stored.batch(rows, tasks)
        items = {name: items for name, items in self._items.items() if name in found.labels}
        earlier = {name: known.of(rows) for name, known in self._earlier.items() if name in found.labels}
        return replace(found, items=items, earlier=earlier) if items or earlier else found

    def narrowed(self, tasks: Iterable[str], training: NDArray[np.bool_]) -> "Dataset":
        """Return the same rows with fewer tasks, of which fewer train; validation and test rows stay.

        Args:
            tasks: Names of those to keep.
            training: Whether a training row still is one, shape (N,); what it says of others is not read.
        """
        fewer = copy.copy(self)
        fewer.tasks = {name: self.tasks[name] for name in tasks}
        fewer.own_tasks = self.own_tasks & frozenset(fewer.tasks)
        dropped = (self._part == PARTS.index("train")) & ~training
        fewer._part = np.where(dropped, np.uint8(len(PARTS)), self._part)
        fewer._rows = lru_cache(maxsize=None)(fewer._find)
        return fewer

    def sold(self, task: str) -> NDArray[np.int64]:
        """Return how often training rows chose each item of a catalogue, shape (items,)."""
        return load(self._folder, f"sold.{task}")

    def purchases(self, task: str) -> Purchases:
        """Return the known purchases of a catalogue's items."""
        return Purchases(*(load(self._folder, f"bought.{task}.{column}") for column in Purchases._fields))

    def _find(self, split: Part, kind: str | None, task: str | None) -> Tensor:
        found = self._part == PARTS.index(split)
        if kind is not None:
            found &= self.kind == (self.kinds.index(kind) if kind in self.kinds else len(self.kinds))
        if task is not None:
            labels = self._stored.labels[task]
            found &= (~labels.isnan()).reshape(len(labels), -1).any(1).numpy()
        return torch.from_numpy(np.flatnonzero(found))


def prepare(config: MerchantConfig, federation: Federation) -> Dataset:
    """Return a merchant's dataset, encoding it first where the encoded one is missing or out of date.

    Raises:
        DataError: The data cannot be read or used; nothing half-written is left behind.
        OSError: The disk is full or not writable; the same holds.
    """
    return Dataset(kept(config.state / "encoded", build, config, federation), config, federation)
