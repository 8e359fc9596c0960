"""What each shopper did before a moment, found without sorting anything twice.

Notation: N entries in the order of time, B questions.
"""

from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray


class ByShopper:
    """Entries of known shoppers, ordered by shopper and then by time.

    Entries stand in the order of time, so an entry's position stands for its moment: one number per entry,
    `shopper * width + position`, is all that is kept.
    """

    def __init__(self, shoppers: pl.Series, times: pl.Series) -> None:
        known = shoppers.is_not_null().to_numpy()
        codes = shoppers.cast(pl.UInt64).fill_null(0).to_numpy()
        self._names = np.unique(codes[known])
        self._times = plain(times)
        self._width = len(codes) + 1
        self._keys = self._starts(codes)[known] + np.flatnonzero(known)
        self._keys.sort()

    @classmethod
    def of(cls, frame: pl.DataFrame, time: str) -> Self:
        """Return the entries of a frame with a column `shopper`, in the order of its column `time`."""
        return cls(frame["shopper"], frame[time])

    def before(self, shoppers: pl.Series, moments: pl.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where each shopper's entries begin and where those strictly before a moment end, (B,) each.

        Both are places for `positions`; a shopper who is null or has no entry has none.
        """
        codes = shoppers.cast(pl.UInt64).fill_null(0).to_numpy()
        starts, passed = self._starts(codes), np.searchsorted(self._times, plain(moments), side="left")
        stranger = shoppers.is_null().to_numpy() | ~np.isin(codes, self._names)
        first = np.searchsorted(self._keys, starts)
        last = np.searchsorted(self._keys, starts + np.where(stranger, 0, passed))
        return first, last

    def positions(self, places: NDArray[np.int64]) -> pl.Series:
        """Return the positions of the entries at some places, null for place -1."""
        if not len(self._keys):
            return pl.Series([None], dtype=pl.Int64).new_from_index(0, len(places))
        found = pl.Series(self._keys[places] % self._width)
        return found.set(pl.Series(places < 0), None)

    def following(self, shoppers: pl.Series, positions: pl.Series) -> pl.Series:
        """Return the position of the same shopper's next entry, null where there is none or no shopper.

        Args:
            shoppers: Of the entries at `positions`.
            positions: Of entries.
        """
        starts = self._starts(shoppers.cast(pl.UInt64).fill_null(0).to_numpy())
        after = np.searchsorted(self._keys, starts + positions.to_numpy(), side="right")
        end = np.searchsorted(self._keys, starts + self._width)
        mine = (after < end) & shoppers.is_not_null().to_numpy()
        return self.positions(np.where(mine, after, -1))

    def _starts(self, codes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The number below all keys of each shopper."""
        return np.searchsorted(self._names, codes) * self._width


def plain(times: pl.Series) -> NDArray[np.int64]:
    """Return UTC times as microseconds, shape (N,)."""
    return times.to_physical().to_numpy()
