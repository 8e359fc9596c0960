"""Sums of a big table's rows, kept for those rows alone that some reply changed.

A merchant reads few rows of a big table, and without decay or noise no other row of its reply changes. A
round's sum then takes the memory of the rows that were read by anybody, not that of the table.

Notation: V rows of the table, D width, k rows that a reply changes.
"""

import numpy as np
from numpy.typing import NDArray


class RowSums:
    """The sums of one table in one round."""

    def __init__(self, rows: int, width: int) -> None:
        """Begin with nothing, for a table of shape (`rows`, `width`)."""
        self._place = np.full(rows, -1, np.int32)
        self._sums = np.empty((0, width))
        self._used = 0

    def add(self, rows: NDArray[np.intp], changes: NDArray[np.float64]) -> None:
        """Add `changes`, (k, D), to `rows`, (k,), which are distinct."""
        new = rows[self._place[rows] < 0]
        self._make_room(len(new))
        self._place[new] = np.arange(self._used, self._used + len(new), dtype=np.int32)
        self._used += len(new)
        self._sums[self._place[rows]] += changes

    def whole(self) -> NDArray[np.float64]:
        """Return the sums of all rows, (V, D); zeros where nobody changed anything."""
        known = np.flatnonzero(self._place >= 0)
        sums = np.zeros((len(self._place), self._sums.shape[1]))
        sums[known] = self._sums[self._place[known]]
        return sums

    def _make_room(self, more: int) -> None:
        needed = self._used + more
        if needed > len(self._sums):
            room = np.zeros((max(needed, needed + needed // 2), self._sums.shape[1]))
            room[: self._used] = self._sums[: self._used]
            self._sums = room
