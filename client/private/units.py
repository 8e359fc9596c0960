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


class Units:
    """The owner of every row of one batch.

    Attributes:
        of_row: Position of the owner, shape (B,), int64 in [0, count).
        count: U; a unit may own no row.
    """

    def __init__(self, of_row: Tensor, count: int, *, together: bool = False) -> None:
        """Store the owners; where rows of a unit are known to follow each other, that saves looking."""
        self.of_row, self.count, self._together = of_row, count, together

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
        return 0 if self.single else int((self.sizes * (self.sizes - 1)).sum()) // 2

    @cached_property
    def pairs(self) -> Pairs:
        """All pairs of rows of one unit."""
        owners, order = self.of_row, None
        if not self._together:
            order = owners.argsort(stable=True)
            owners = owners.index_select(0, order)
        farthest = self.most if self.pair_count else 1
        found = [(owners[d:] == owners[:-d]).nonzero().squeeze(1) for d in range(1, farthest)]
        first = torch.cat([owners[:0], *found])
        second = torch.cat([owners[:0], *(place + d for d, place in enumerate(found, 1))])
        owner = owners.index_select(0, first)
        if order is not None:
            first, second = order.index_select(0, first), order.index_select(0, second)
        return Pairs(first, second, owner)

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
