"""A merchant's examples, encoded once and then memory-mapped.

`prepare` encodes into `<state>/encoded/<key>/`. The key covers the contract, the merchant's file, the
exports' sizes and times of change, and `ENCODING`; while none of them changes, the arrays are reused. A
database cannot tell whether it changed, so it is read again every time.
"""

import hashlib
import json
import logging
import shutil
import time
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.config import MerchantConfig
from client.merchant_file import ItemsTable, ReadyTable, ShopTable, masked
from shared_model import declared, schema
from shared_model.features import Batch
from shared_model.schema import Federation

from . import meta
from .arrays import appearing, load
from .build import build
from .reading import TableReading, TaskStatus
from .sources import stamp
from .split import PARTS, Part

log = logging.getLogger(__name__)

ENCODING = 2
"""Raised by one whenever the same data would be encoded differently."""
IN_MEMORY = 64 * 2**20
"""Datasets of fewer bytes are held in memory."""


class Purchases(NamedTuple):
    """Who bought which catalogue item and when, in the order of unit and time; shape (P,) each.

    `time` is datetime64[us]; `item` is a position in the catalogue.
    """

    unit: NDArray[np.int64]
    time: NDArray[np.datetime64]
    item: NDArray[np.int64]


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
        stored = _encoded(folder, self.tasks)
        small = sum(array.nbytes for array in stored.values()) < IN_MEMORY
        arrays = {name: _tensor(array, in_memory=small) for name, array in stored.items()}
        self._numeric = arrays["numeric"]
        self._ids = _named(arrays, "ids.")
        self._vectors = _named(arrays, "vectors.")
        self._labels = _named(arrays, "labels.")
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
        wanted = self._labels if tasks is None else {name: self._labels[name] for name in tasks}
        return Batch(
            numeric=self._numeric.index_select(0, rows),
            ids={name: table.index_select(0, rows).long() for name, table in self._ids.items()},
            vectors={name: table.index_select(0, rows) for name, table in self._vectors.items()},
            labels={name: table.index_select(0, rows) for name, table in wanted.items()},
        )

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
            labels = self._labels[task]
            found &= (~labels.isnan()).reshape(len(labels), -1).any(1).numpy()
        return torch.from_numpy(np.flatnonzero(found))


def prepare(config: MerchantConfig, federation: Federation) -> Dataset:
    """Return a merchant's dataset, encoding it first where the encoded one is missing or out of date.

    Raises:
        DataError: The data cannot be read or used; nothing half-written is left behind.
        OSError: The disk is full or not writable; the same holds.
    """
    parent = config.state / "encoded"
    folder = parent / _key(config, federation)
    if not meta.is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        with appearing(folder) as temporary:
            build(config, federation, temporary)
        log.info("encoded the data of %s in %.1f s", config.name, time.monotonic() - started)
    for other in parent.iterdir():
        if other != folder and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)
    return Dataset(folder, config, federation)


def _key(config: MerchantConfig, federation: Federation) -> str:
    tables: list[ShopTable | ReadyTable] = [
        *config.shop_tables.values(),
        *([config.table] if config.table else []),
    ]
    maps = [t.category_map for t in tables if isinstance(t, ItemsTable) and t.category_map]
    stamps = [stamp(source) for source in (*(t.source for t in tables), *maps)]
    parts: list[Any] = [
        ENCODING,
        federation.fingerprint,
        config.timezone,
        [masked(declared.canonical(part).decode()) for part in (*tables, config.split)],
        [[name, declared.canonical(task).decode()] for name, task in config.tasks.items()],
        [time.time_ns() if found is None else found for found in stamps],
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


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
