"""The private view of a merchant's training rows: the only rows that a private round reads.

The exact rows (`dataset.Dataset`) serve, are evaluated, and decide what is accepted; nothing that is computed
from them leaves the shop. Here every row belongs to one unit and says nothing about any other, a unit has a
bounded number of rows, and what must be known across shoppers is noised (`statistics.py`).

Guarantee: without one shopper, and all that follows from it in the exports, no row of another unit changes
but those of the one item that the shopper counts for (`tests/client/data/test_neighbours.py`).

Notation: N rows, U units, B rows of a batch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.config import MerchantConfig
from shared_model import library, schema
from shared_model.features import Batch
from shared_model.schema import Federation, Task

from . import meta, table
from .arrays import load
from .counts import Counts
from .encoding import encode_numbers
from .private_build import private_folder
from .private_checks import private_tasks
from .statistics import Statistics
from .stored import Stored
from .told_rows import Told, told


class PrivateRows:
    """Training rows in the order of their units, read-only.

    Attributes:
        tasks: What is trained; a task may have no label here.
        rows_of: Task to row kind; "table" for a ready table.
        kinds: Row kinds that have rows.
        units: U.
        crowd: Share of the rows that belong to one unit which is hardly one person (`crowds`); 0 for none.
        unit: Of every row, ascending, in [0, U), int64, shape (N,).
        weight: Of every row's loss, float32, shape (N,): 1, and where an item is the unit, 1 / its rows.
    """

    def __init__(
        self,
        folder: Path,
        config: MerchantConfig,
        federation: Federation,
        statistics: Statistics | None,
        counts: Counts | None,
    ) -> None:
        """Open what `private_build` wrote; for the rest see `private_rows`."""
        about = meta.facts(folder)
        wanted = private_tasks(config, federation)
        self.tasks: Mapping[str, Task] = {n: t for n, t in config.tasks.items() if n in wanted}
        self.rows_of: Mapping[str, str] = {
            name: table.KIND if config.table is not None else library.TASKS[task.library].rows
            for name, task in self.tasks.items()
        }
        self.kinds: tuple[str, ...] = tuple(about["kinds"])
        self.units: int = about["units"]
        self.crowd: float = about["crowd"]
        self._stored = Stored(folder, self.tasks)
        self.unit, self.weight, self._order = (_loaded(folder, name) for name in ("owner", "weight", "order"))
        across = statistics if config.table is None else None
        self._numeric = _noised_columns(folder, self.kinds, federation, across)
        self._labels: Mapping[str, Tensor] = {}
        noised = {n: t for n, t in self.tasks.items() if n in schema.with_labels(federation, "noised")}
        if counts is not None and noised:
            self._put(told(folder, self._order.numpy(), noised, federation, counts))
        self._ends = torch.searchsorted(self.unit, torch.arange(self.units), right=True)

    def _put(self, found: Told) -> None:
        """Let what was told of items take the place of what was encoded; leave out rows that do not count."""
        kept = found.counts.nonzero().squeeze(1)
        self._numeric = {p: values[kept] for p, values in {**self._numeric, **found.numeric}.items()}
        self._labels = {name: values[kept] for name, values in found.labels.items()}
        self.unit, self._order = self.unit[kept], self._order[kept]
        rows = torch.bincount(self.unit, minlength=self.units)[self.unit]
        self.weight = torch.where(found.of_items[kept], 1 / rows, self.weight[kept])

    def __len__(self) -> int:
        return len(self._order)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows.

        Args:
            rows: Row numbers, int64, shape (B,).
            tasks: Whose labels, NaN where missing; None for all of `tasks`.
        """
        found = self._stored.batch(self._order[rows], tasks)
        for column, values in self._numeric.items():
            found.numeric[:, column] = values[rows]
        labels = {name: self._labels.get(name, known) for name, known in found.labels.items()}
        return replace(found, labels={n: v[rows] if n in self._labels else v for n, v in labels.items()})

    def rows_of_units(self, drawn: Tensor) -> Tensor:
        """Return the numbers of the rows of some units, in the order of `drawn`.

        Args:
            drawn: Units, int64, any number of them.
        """
        ends = self._ends[drawn]
        counts = ends - torch.where(drawn > 0, self._ends[(drawn - 1).clamp_min(0)], 0)
        before = counts.cumsum(0) - counts
        return torch.arange(int(counts.sum())) + torch.repeat_interleave(ends - counts - before, counts)


def private_rows(
    config: MerchantConfig,
    federation: Federation,
    statistics: Statistics | None,
    counts: Counts | None = None,
) -> PrivateRows:
    """Return the private view of a merchant's training rows.

    Args:
        config: The merchant's file.
        federation: A contract with privacy.
        statistics: What was released across shoppers in this training. A feature that reads it is missing
            without, and always in a ready table.
        counts: What was released of items and weeks in this training; a task with noised labels has none
            without.

    Raises:
        ConfigError: The merchant's file does not say what is needed.
        DataError: The data cannot be read.
        OSError: The disk is full or not writable.
    """
    return PrivateRows(private_folder(config, federation), config, federation, statistics, counts)


def shoppers_in_training(config: MerchantConfig, federation: Federation) -> int:
    """Return how many shoppers, or records where they are the unit, have rows to train on or count in one.

    The number stays at the merchant: it tells whether it may declare its tier (errors as in `private_rows`).
    """
    return int(meta.facts(private_folder(config, federation))["shoppers"])


def _loaded(folder: Path, name: str) -> Tensor:
    return torch.from_numpy(np.array(load(folder, name)))


def _noised_columns(
    folder: Path, kinds: tuple[str, ...], federation: Federation, statistics: Statistics | None
) -> dict[int, Tensor]:
    """The columns of `Batch.numeric` that read what is known across shoppers, by position, (N,) each."""
    if statistics is None:
        return {}
    order = load(folder, "order")
    columns = statistics.columns_at(load(folder, "time")[order])
    kind = load(folder, "kind")[order]
    numeric = [(n, f) for n, f in federation.features.items() if isinstance(f, schema.Numeric)]
    return {
        place: torch.from_numpy(_encoded(columns[column], feature, _offering(column, kinds)[kind]))
        for place, (name, feature) in enumerate(numeric)
        if (column := feature.column or name) in columns
    }


def _encoded(
    values: NDArray[np.float64], feature: schema.Numeric, offered: NDArray[np.bool_]
) -> NDArray[np.float32]:
    return encode_numbers(np.where(offered, values, np.nan), feature)


def _offering(column: str, kinds: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which kinds of rows offer a column."""
    return np.array([column in library.ROW_KINDS[kind].columns for kind in kinds] or [False])
