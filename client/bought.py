"""Lists of different lengths side by side in memory: what the shoppers of many rows bought before."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from shared_model.repeats import Earlier


class Bought(NamedTuple):
    """Earlier items of B rows, E in all, those of a row side by side.

    Attributes:
        start: Where the items of each row begin, int64, shape (B + 1,).
        items: Positions in the catalogue, int32, shape (E,).
        times: See `Earlier`; shape (E,).
        days: See `Earlier`; shape (E,).
    """

    start: Tensor
    items: Tensor
    times: Tensor
    days: Tensor

    def by(self, rows: slice) -> Earlier:
        """Return those of some rows in float64, as many places wide as the longest of their lists."""
        start = self.start[rows.start : rows.stop + 1]
        counts = start.diff()
        place = torch.arange(int(counts.max()) if len(counts) else 0)
        there = place < counts.unsqueeze(1)
        here = slice(int(start[0]), int(start[-1]))
        return Earlier(
            _padded(there, self.items[here].long()),
            _padded(there, self.times[here].double()),
            _padded(there, self.days[here].double()),
        )


def bought(parts: Sequence[Earlier]) -> Bought:
    """Return the earlier items of rows that come in parts."""
    counts = torch.cat([part.known.sum(1) for part in parts])
    return Bought(
        start=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        items=torch.cat([part.items[part.known].int() for part in parts]),
        times=torch.cat([part.times[part.known] for part in parts]),
        days=torch.cat([part.days[part.known] for part in parts]),
    )


def _padded(there: Tensor, values: Tensor) -> Tensor:
    return values.new_zeros(there.shape).masked_scatter_(there, values)
