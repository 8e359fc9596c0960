"""What training and evaluation need of a data set: rows by split, and batches of them."""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shared_model.features import Batch
from shared_model.schema import Task

Split = Literal["train", "validation", "test"]


class Examples(Protocol):
    """Encoded rows of one merchant (`client.data.dataset.Dataset`), or of several in a simulation."""

    @property
    def tasks(self) -> Mapping[str, Task]:
        """Tasks that have labels here."""

    @property
    def rows_of(self) -> Mapping[str, str]:
        """Task -> the kind of row it is asked on."""

    def rows(self, split: Split, *, kind: str | None = None, task: str | None = None) -> Tensor:
        """Return row numbers of a split; of one kind, or those with a label of one task."""

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows with the labels of `tasks` (of all, by default)."""


class Owned(Examples, Protocol):
    """Encoded rows that say whose they are."""

    @property
    def unit(self) -> NDArray[np.int64]:
        """Owner of every row, numbered from 0, shape (N,)."""


class PrivateExamples(Protocol):
    """Training rows of which each belongs to one unit (`client.data.private_rows.PrivateRows`).

    Notation: N rows, U units, B rows of a batch.
    """

    @property
    def tasks(self) -> Mapping[str, Task]:
        """What is trained."""

    @property
    def units(self) -> int:
        """U."""

    @property
    def unit(self) -> Tensor:
        """Unit of every row, ascending, in [0, U), int64, shape (N,)."""

    @property
    def weight(self) -> Tensor:
        """Weight of every row's loss, shape (N,)."""

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the encoded rows with the labels of `tasks` (of all, by default)."""

    def rows_of_units(self, drawn: Tensor) -> Tensor:
        """Return the numbers of the rows of some units, in the order of `drawn`."""
