"""A merchant's training rows in memory, of one kind, for simulations that write no files.

Notation: N rows, U units, B rows of a batch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from client.data.examples import Examples, PrivateExamples, Split
from shared_model.features import Batch
from shared_model.repeats import Earlier
from shared_model.schema import Task

_KIND = "table"


class TrainingRows(Examples, PrivateExamples, Protocol):
    """Rows that can be trained on with privacy and without."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Tasks that have labels here."""

    @property
    def catalogues(self) -> Mapping[str, int]:
        """Items per retrieval task."""

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows with the labels of `tasks` (of all, by default)."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that train, all of them: both `Examples` and `PrivateExamples` (`client/data/examples.py`).

    Attributes:
        encoded: The rows with the labels of all tasks, shape (N, ...) each.
        tasks: Those that have labels here.
        unit: Owner of every row, ascending from 0, int64, shape (N,).
        units: U.
        catalogues: Items per retrieval task.
    """

    encoded: Batch
    tasks: Mapping[str, Task]
    unit: Tensor
    units: int
    catalogues: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows_of(self) -> Mapping[str, str]:
        """Every task is asked on the one kind of row."""
        return dict.fromkeys(self.tasks, _KIND)

    @cached_property
    def weight(self) -> Tensor:
        """Every row counts once, shape (N,)."""
        return torch.ones(len(self.encoded), dtype=self.encoded.numeric.dtype)

    def rows(self, split: Split, *, kind: str | None = None, task: str | None = None) -> Tensor:
        """Return row numbers of a split; of one kind, or those with a label of one task."""
        if split != "train" or kind not in (None, _KIND):
            return torch.arange(0)
        if task is None:
            return self._all
        labels = self.encoded.labels[task]
        return (~labels.isnan()).reshape(len(labels), -1).any(1).nonzero().squeeze(1)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows with the labels of `tasks` (of all, by default)."""
        wanted = tuple(self.tasks if tasks is None else tasks)
        found = self.encoded
        return replace(
            found,
            numeric=found.numeric.index_select(0, rows),
            ids={name: ids.index_select(0, rows) for name, ids in found.ids.items()},
            vectors={name: v.index_select(0, rows) for name, v in found.vectors.items()},
            labels={name: found.labels[name].index_select(0, rows) for name in wanted},
            items={name: items for name, items in found.items.items() if name in wanted},
            earlier={
                name: Earlier(*(column.index_select(0, rows) for column in earlier))
                for name, earlier in found.earlier.items()
                if name in wanted
            },
        )

    def rows_of_units(self, drawn: Tensor) -> Tensor:
        """Return the numbers of the rows of some units, in the order of `drawn`."""
        starts, ends = self._bounds[drawn], self._bounds[drawn + 1]
        counts = ends - starts
        before = counts.cumsum(0) - counts
        return torch.arange(int(counts.sum())) + torch.repeat_interleave(starts - before, counts)

    @cached_property
    def _all(self) -> Tensor:
        return torch.arange(len(self.encoded))

    @cached_property
    def _bounds(self) -> Tensor:
        """The first row of every unit, and the end, shape (U + 1,)."""
        return torch.searchsorted(self.unit, torch.arange(self.units + 1))
