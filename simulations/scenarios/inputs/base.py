"""What the features of a contract hold in a scenario, and what labels see of them.

An input is one or several features that are drawn together. Its entries are what coefficients belong to: a
number, a value of a category, a component of a vector. What labels see of a row is linear in them, and so is
what a model may learn.

Notation: n rows, E entries, O outputs of all tasks, V values of a category.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the rows of one merchant have to do with each other and with the merchant.

    Attributes:
        name: Of the merchant.
        means: Of the numbers, in spreads, shape (numbers,).
        log_odds: Of the values of every category, shape (categories, V).
        owner: Shopper of every row, shape (n,).
        tastes: What belongs to the shopper of the numbers, shape (shoppers, numbers).
        likeness: Its share of their variance.
        season: Sine and cosine of the day of the year, shape (n, 2).
    """

    name: str
    means: Floats
    log_odds: Floats
    owner: NDArray[np.int64]
    tastes: Floats
    likeness: float
    season: Floats


class Entries(NamedTuple):
    """What coefficients of an input belong to.

    Attributes:
        common: Whether an entry means the same at all merchants, shape (E,).
        features: Among so many features the signal is divided.
        copies: A coefficient's variance is that of its feature's part of a score times this.
    """

    common: NDArray[np.bool_]
    features: float = 1.0
    copies: float = 1.0

    @property
    def total(self) -> int:
        """E."""
        return len(self.common)


class Input(Protocol):
    """One or several features of a contract."""

    @property
    def entries(self) -> Entries:
        """What its coefficients belong to."""

    def draw(self, at: Setting, generator: np.random.Generator) -> Array:
        """Return what is behind the rows, in the form that the methods below take."""

    def score(self, drawn: Array, coefficients: Floats) -> Floats:
        """Return the part of the labels' scores, shape (n, O); coefficients are (O, E)."""

    def moments(self, drawn: Array) -> Floats:
        """Return the variance of what multiplies each coefficient, shape (E,)."""

    def columns(self, drawn: Array, merchant: str) -> dict[str, pl.Series]:
        """Return the columns of a table."""

    def encoded(self, drawn: Array, merchant: str) -> dict[str, Array]:
        """Return the arrays that the client makes of those columns (`client.data.encoding`)."""
