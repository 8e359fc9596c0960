"""Evidence for a challenger as sums that add up: over shoppers, over days, over adoptions.

Of rows with advantages a_i (by how much the challenger was better on row i), grouped by shopper, six sums say
everything that a mean and its standard error over draws of whole shoppers need. Sums of different rows are
added; nobody's rows can be read from them.

What is kept of an adoption is the sums of every day of its validation rows. A later adoption judges its own
rows anew and adds what is kept of the days before them, so no row counts twice, whatever the split does. What
is kept speaks of older models, so its weight halves every `HALF_LIFE_DAYS` (a power prior, Ibrahim and Chen
2000). Rows without a time cannot be told from one another, so nothing of them is kept.

Notation: B rows, G shoppers (or items), S_g and n_g a shopper's sum of advantages and number of rows, D days.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HALF_LIFE_DAYS = 90.0
KEPT_DAYS = 720
"""What is older weighs less than a two-hundredth, and is dropped."""


class Tally(NamedTuple):
    """Six sums.

    Attributes:
        rows: Sum of n_g.
        shoppers: G.
        better: Sum of S_g.
        squares: Sum of S_g^2.
        crossed: Sum of S_g n_g.
        crowding: Sum of n_g^2.
    """

    rows: float = 0.0
    shoppers: float = 0.0
    better: float = 0.0
    squares: float = 0.0
    crossed: float = 0.0
    crowding: float = 0.0

    def plus(self, other: "Tally", weight: float = 1.0) -> "Tally":
        """Return the sums of both; the other's rows count `weight` times."""
        return Tally(*(mine + weight * theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def mean(self) -> float:
        """Mean advantage of a row; NaN without rows."""
        return self.better / self.rows if self.rows else math.nan

    @property
    def standard_error(self) -> float:
        """Of the mean, over draws of whole shoppers; NaN with fewer than two of them.

        sqrt(sum of (S_g - mean n_g)^2 * G / (G - 1)) / rows; sd / sqrt(B) where everybody has one row.

        Source: Liang and Zeger (1986), the sandwich for a mean.
        """
        if self.shoppers <= 1:
            return math.nan
        surplus = self.squares - 2 * self.mean * self.crossed + self.mean**2 * self.crowding
        return math.sqrt(max(surplus, 0.0) * self.shoppers / (self.shoppers - 1)) / self.rows


def tally(better: Tensor, owners: Tensor) -> Tally:
    """Return the sums of some rows.

    Args:
        better: Advantages, finite, float64, shape (B,).
        owners: Whose the rows are, shape (B,).

    >>> found = tally(torch.tensor([3.0, 3.0, 1.0, 1.0]).double(), torch.tensor([7, 7, 9, 9]))
    >>> found.mean, found.standard_error  # sums 6 and 2, each 2 off: sqrt(8 * 2) / 4
    (2.0, 1.0)
    """
    sums, counts = by_owner(better, owners)
    return Tally(
        rows=float(len(better)),
        shoppers=float(len(sums)),
        better=float(sums.sum()),
        squares=float((sums * sums).sum()),
        crossed=float((sums * counts).sum()),
        crowding=float((counts * counts).sum()),
    )


def by_owner(values: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """Return every owner's sum of `values` and number of rows, float64, in order of the owners."""
    names, position = owners.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    empty = torch.zeros(len(names), dtype=torch.float64)
    return empty.index_add(0, position, values), empty.index_add(0, position, torch.ones_like(values))


def of_days(better: Tensor, owners: Tensor, times: NDArray[np.datetime64]) -> Tensor:
    """Return what is kept: per day its number since 1970 and its six sums, float64, shape (D, 7).

    Args:
        better: As in `tally`.
        owners: As in `tally`; whoever comes on two days counts once on each.
        times: Of the rows, UTC; NaT where there is none.
    """
    known = ~np.isnat(times)
    days = times[known].astype("datetime64[D]").astype(np.int64)
    rows = torch.from_numpy(np.flatnonzero(known))
    kept = [
        [float(day), *tally(better[rows[here]], owners[rows[here]])]
        for day in np.unique(days)
        for here in [torch.from_numpy(np.flatnonzero(days == day))]
    ]
    return torch.tensor(kept, dtype=torch.float64).reshape(-1, 7)


def before(kept: Tensor, times: NDArray[np.datetime64]) -> Tensor:
    """Return what is kept of the days before the rows at `times`, and not for longer than `KEPT_DAYS`.

    Without rows it is all of it; nothing where a row has no time.
    """
    first = _first_day(times)
    return kept if first is None else kept[(kept[:, 0] < first) & (kept[:, 0] >= first - KEPT_DAYS)]


def faded(kept: Tensor, times: NDArray[np.datetime64]) -> Tally:
    """Return the sum of what is kept, every day weighed by its distance from the rows at `times`."""
    first, total = _first_day(times), Tally()
    for day, *sums in kept.tolist():
        total = total.plus(
            Tally(*sums), 0.5 ** ((first - day) / HALF_LIFE_DAYS) if first is not None else 0.0
        )
    return total


def _first_day(times: NDArray[np.datetime64]) -> float | None:
    """The day of the earliest row since 1970; minus infinity where one has no time, None without rows."""
    if not len(times):
        return None
    return -math.inf if np.isnat(times).any() else float(times.min().astype("datetime64[D]").astype(np.int64))
