"""Values that become known at some time, sorted once and asked for many moments."""

from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Outcomes(NamedTuple):
    """Values that became known at some time.

    Attributes:
        times: When, ascending, length N.
        sums: Of the first n values, shape (N + 1,).
    """

    times: pl.Series
    sums: NDArray[np.float64]

    def within(self, at: pl.Series, days: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return sum and number of the values with at - days <= time < at, for every moment of `at`.

        >>> from datetime import datetime
        >>> day = lambda n: datetime(2024, 1, n)
        >>> known = outcomes(pl.Series([day(2), day(1)]), pl.Series([5.0, 1.0]))
        >>> known.within(pl.Series([day(2), day(3)]), days=1)
        (array([1., 5.]), array([1., 1.]))
        """
        last = self.times.search_sorted(at, side="left").to_numpy()
        first = self.times.search_sorted(at - timedelta(days=days), side="left").to_numpy()
        return self.sums[last] - self.sums[first], (last - first).astype(np.float64)


def outcomes(times: pl.Series, values: pl.Series) -> Outcomes:
    """Return values by when they became known, any order; a value without its time does not count."""
    known = pl.DataFrame({"time": times, "value": values}).drop_nulls()
    order = known["time"].arg_sort()
    sums = np.concatenate([[0.0], np.cumsum(known["value"].gather(order).to_numpy())])
    return Outcomes(times=known["time"].gather(order), sums=sums)
