"""The values of categories: their names, how often they occur, and lists of them.

Notation: n rows, E = V values of a category, O outputs of all tasks, L places of a list; -1 is no member.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.data.hashing import bucket, canonical_text

from .base import Array, Floats


@dataclass(frozen=True)
class Words:
    """The values of a category: what they are called, and which row of a table they have.

    Attributes:
        name: Of the category.
        values: V.
        shared: The first so many are the same at all merchants.
    """

    name: str
    values: int
    shared: int

    def texts(self, merchant: str) -> list[str]:
        """Return what the values are called at a merchant."""
        own = merchant.replace("-", " ")
        return [f"{self.name} {'common' if v < self.shared else own} {v}" for v in range(self.values)]

    @property
    def common(self) -> NDArray[np.bool_]:
        """Whether a value is one that all have, shape (V,)."""
        return np.arange(self.values) < self.shared


def choices(log_odds: Floats, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.int64]:
    """Return values drawn by their odds.

    >>> choices(np.array([0.0, 50.0]), (3,), np.random.default_rng(0)).tolist()
    [1, 1, 1]
    """
    odds = np.exp(log_odds - log_odds.max()).cumsum()
    found = np.searchsorted(odds / odds[-1], generator.random(shape), side="right")
    return np.minimum(found, len(odds) - 1)


def mean_of(drawn: Array, coefficients: Floats) -> Floats:
    """Return the mean of the coefficients of a row's members, shape (n, O).

    >>> mean_of(np.array([[0, 1], [1, -1]]), np.array([[1.0, 3.0]])).tolist()
    [[2.0], [3.0]]
    """
    known = (drawn >= 0)[..., None]
    return np.asarray((coefficients.T[drawn] * known).sum(1) / known.sum(1))


def mean_moments(drawn: Array, entries: int) -> Floats:
    """Return the mean square of the share that a value has in its row, shape (E,)."""
    known = drawn >= 0
    share = known / known.sum(1, keepdims=True)
    return np.bincount(drawn[known], weights=(share**2)[known], minlength=entries) / max(len(drawn), 1)


def rows_of(name: str, buckets: int, key: str, words: Words, merchant: str) -> NDArray[np.int32]:
    """Return the row of an embedding table that each value stands for, shape (V,)."""
    known = _shared_rows(name, buckets, key, words)
    if words.shared == words.values:
        return known
    own = _hashed(words.texts(merchant)[words.shared :], name, buckets, key)
    return np.concatenate([known, own])


@lru_cache(maxsize=1024)
def _shared_rows(name: str, buckets: int, key: str, words: Words) -> NDArray[np.int32]:
    return _hashed(words.texts("")[: words.shared], name, buckets, key)


def _hashed(texts: list[str], name: str, buckets: int, key: str) -> NDArray[np.int32]:
    rows = [bucket(canonical_text(text), name=name, buckets=buckets, key=key) for text in texts]
    return np.array(rows, np.int32)


def lists(drawn: Array, texts: Sequence[str]) -> pl.Series:
    """Return the members of every row by name."""
    return pl.Series([[texts[v] for v in row if v >= 0] for row in drawn], dtype=pl.List(pl.String))


def padded(drawn: Array, rows: NDArray[np.int32], length: int) -> NDArray[np.int32]:
    """Return rows of an embedding table, 0 where there is no member, shape (n, length)."""
    found = np.zeros((len(drawn), length), np.int32)
    kept = min(length, drawn.shape[1])
    found[:, :kept] = np.where(drawn >= 0, rows[drawn], 0)[:, :kept]
    return found
