"""Which unit owns which row of a batch, and sums over the rows of a unit.

Notation: B rows, U units, N entries. An entry is one row of a matrix that a layer read: a layer that reads L
vectors per row (a bag, a sequence, several uses) has N = B L entries.
"""

from functools import cached_property

import torch
from torch import Tensor


class Units:
    """The owner of every row of one batch.

    Attributes:
        of_row: Position of the owner, shape (B,), int64 in [0, count).
        count: U; a unit may own no row.
    """

    def __init__(self, of_row: Tensor, count: int) -> None:
        """Store the owners."""
        self.of_row, self.count = of_row, count

    @property
    def rows(self) -> int:
        """B."""
        return len(self.of_row)

    @cached_property
    def single(self) -> bool:
        """Whether no unit owns more than one row."""
        return self.in_order or self.rows == 0 or int(torch.bincount(self.of_row, minlength=1).max()) == 1

    @cached_property
    def in_order(self) -> bool:
        """Whether row i is all that unit i owns."""
        return self.rows == self.count and torch.equal(self.of_row, torch.arange(self.count))

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


def padded(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """Return the entries of each unit side by side, shape (U, k, W), from `values` of shape (N, W).

    k is the largest number of entries of a unit; the others are filled with zero vectors.
    """
    order = owners.argsort(stable=True)
    sizes = torch.bincount(owners, minlength=count)
    first = sizes.cumsum(0) - sizes
    rank = torch.arange(len(owners)) - first.index_select(0, owners.index_select(0, order))
    width = int(sizes.max())
    slots = owners.index_select(0, order) * width + rank
    out = values.new_zeros(count * width, values.shape[-1])
    return out.index_copy_(0, slots, values.index_select(0, order)).view(count, width, -1)
