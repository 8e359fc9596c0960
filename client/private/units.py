"""Which unit owns which row of a batch, and sums over the rows of a unit.

Notation: B rows, U units, N entries. An entry is one row of a matrix that a layer read: a layer that reads L
vectors per row (a bag, a sequence, several uses) has N = B L entries.
"""

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """Pairs of different rows of one unit, each once: where the two stand, and whose they are, (Q,) each."""

    first: Tensor
    second: Tensor
    owner: Tensor


def pairs_in(sizes: Tensor) -> Tensor:
    """Return how many pairs there are among so many rows."""
    return sizes * (sizes - 1) // 2


def pairs_together(owners: Tensor, most: int) -> Pairs:
    """Return the pairs of rows with these owners, (B,), in order of their first row.

    Args:
        owners: Equal ones follow each other.
        most: Rows of a unit.
    """
    beside = torch.zeros(len(owners), max(most - 1, 0), dtype=torch.bool)
    for apart in range(1, most):
        beside[:-apart, apart - 1] = owners[apart:] == owners[:-apart]
    first, apart_from = beside.nonzero().unbind(1)
    return Pairs(first, first + apart_from + 1, owners.index_select(0, first))


class Units:
    """The owner of every row of one batch.

    Attributes:
        of_row: Position of the owner, shape (B,), int64 in [0, count).
        count: U; a unit may own no row.
    """

    def __init__(self, of_row: Tensor, count: int, pairs: Pairs | None = None) -> None:
        """Store the owners, and the pairs of rows where they are known."""
        self.of_row, self.count, self._pairs = of_row, count, pairs

    @property
    def rows(self) -> int:
        """B."""
        return len(self.of_row)

    @cached_property
    def single(self) -> bool:
        """Whether no unit owns more than one row."""
        return self.in_order or self.rows == 0 or self.most == 1

    @cached_property
    def in_order(self) -> bool:
        """Whether row i is all that unit i owns."""
        return self.rows == self.count and torch.equal(self.of_row, torch.arange(self.count))

    @cached_property
    def most(self) -> int:
        """Rows of the unit with most of them."""
        return int(self.sizes.max())

    @cached_property
    def sizes(self) -> Tensor:
        """Rows of every unit, shape (U,)."""
        return torch.bincount(self.of_row, minlength=self.count)

    @cached_property
    def pair_count(self) -> int:
        """Q, without finding the pairs."""
        if self._pairs is not None:
            return len(self._pairs.owner)
        return 0 if self.single else int(pairs_in(self.sizes).sum())

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs of rows of one unit."""
        if self._pairs is not None:
            return self._pairs
        order = self.of_row.argsort(stable=True)
        found = pairs_together(self.of_row.index_select(0, order), self.most if self.pair_count else 1)
        return Pairs(order.index_select(0, found.first), order.index_select(0, found.second), found.owner)

    @cached_property
    def places(self) -> "Places":
        """Where rows stand side by side."""
        return Places(self.of_row, self.count)

    def of_entries(self, entries: int) -> Tensor:
        """Return the owner of every entry, shape (N,), where every row has N / B of them."""
        return self.of_row if entries == self.rows else self.of_row.repeat_interleave(entries // self.rows)

    def total(self, values: Tensor, owners: Tensor) -> Tensor:
        """Return the sums of `values`, shape (N, ...), over the entries of each unit, shape (U, ...)."""
        if owners is self.of_row and self.in_order:
            return values
        return values.new_zeros(self.count, *values.shape[1:]).index_add_(0, owners, values)

    def per_row(self, values: Tensor) -> Tensor:
        """Return for every row the value of its owner, shape (B,), from `values` of shape (U,)."""
        return values.index_select(0, self.of_row)


class Places:
    """Where the entries of units stand side by side; one serves all values with the same owners."""

    def __init__(self, owners: Tensor, count: int) -> None:
        """Find the places of entries with these owners, (N,), of so many units."""
        self._order = owners.argsort(stable=True)
        sizes = torch.bincount(owners, minlength=count)
        first = sizes.cumsum(0) - sizes
        sorted_owners = owners.index_select(0, self._order)
        rank = torch.arange(len(owners)) - first.index_select(0, sorted_owners)
        self._count, self._width = count, int(sizes.max())
        self._slots = sorted_owners * self._width + rank

    def filled(self, values: Tensor) -> Tensor:
        """Return `values`, (N, W), at their places, shape (U, k, W); zero vectors elsewhere."""
        out = values.new_zeros(self._count * self._width, values.shape[-1])
        out.index_copy_(0, self._slots, values.index_select(0, self._order))
        return out.view(self._count, self._width, -1)
