"""What training and evaluation need of a data set: rows by split, and batches of them."""

from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

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
