"""A made-up merchant with one row a shopper, held in memory.

Notation: N shoppers, F numeric features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from client.data.examples import Split
from shared_model.features import Batch
from shared_model.schema import Task

KIND = "purchase"


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Rows as `client.data.dataset.Dataset` and `client.data.private_rows.PrivateRows` give them.

    All rows train. Row i belongs to shopper i.

    Attributes:
        tasks: Tasks that have labels.
        numeric: Shape (N, F).
        labels: Task -> shape (N,).
        ids: Categorical feature -> rows of its table, shape (N,).
    """

    tasks: Mapping[str, Task]
    numeric: Tensor
    labels: Mapping[str, Tensor]
    ids: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def rows_of(self) -> Mapping[str, str]:
        """Task -> kind of row."""
        return dict.fromkeys(self.tasks, KIND)

    def rows(self, split: Split, *, kind: str | None = None, task: str | None = None) -> Tensor:
        """Return the numbers of all rows for the split that trains, none for another."""
        return torch.arange(self.units if split == "train" else 0)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return the rows."""
        wanted = self.labels if tasks is None else tasks
        return Batch(
            numeric=self.numeric[rows],
            ids={name: ids[rows] for name, ids in self.ids.items()},
            labels={name: self.labels[name][rows] for name in wanted},
        )

    def all(self) -> Batch:
        """Return every row."""
        return self.batch(torch.arange(self.units))

    def only(self, chosen: Tensor) -> "Shop":
        """Return a shop with some of the shoppers, named by a mask of shape (N,) or by their numbers."""
        return Shop(
            tasks=self.tasks,
            numeric=self.numeric[chosen],
            labels={name: labels[chosen] for name, labels in self.labels.items()},
            ids={name: ids[chosen] for name, ids in self.ids.items()},
        )

    @property
    def units(self) -> int:
        """N."""
        return len(self.numeric)

    @property
    def unit(self) -> Tensor:
        """Shopper of every row, shape (N,)."""
        return torch.arange(self.units)

    @property
    def weight(self) -> Tensor:
        """Weight of every row in its shopper's loss, shape (N,)."""
        return torch.ones(self.units)

    def rows_of_units(self, units: Tensor) -> Tensor:
        """Return the rows of some shoppers, shape (B,)."""
        return units
