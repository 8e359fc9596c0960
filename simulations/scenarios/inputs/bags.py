"""Bags of values. Notation: n rows, E entries, O outputs of all tasks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from shared_model import schema

from .base import Array, Entries, Floats, Setting
from .words import Words, choices, lists, mean_moments, mean_of, padded, rows_of


@dataclass(frozen=True)
class Bag:
    """A bag of one or two values, shape (n, 2); the second is -1 where there is one only."""

    name: str
    feature: schema.Multi
    place: int
    words: Words
    key: str

    @cached_property
    def entries(self) -> Entries:
        """See `Input`."""
        return Entries(self.words.common, copies=1.5)

    def draw(self, at: Setting, generator: np.random.Generator) -> Array:
        """Return two values, drawn by the merchant's odds; equal ones count once."""
        drawn = choices(at.log_odds[self.place], (len(at.owner), 2), generator)
        single = (drawn[:, 0] == drawn[:, 1]) | (self.feature.max_values < 2)
        drawn[single, 1] = -1
        return drawn

    def score(self, drawn: Array, coefficients: Floats) -> Floats:
        """See `Input`; the mean of the members."""
        return mean_of(drawn, coefficients)

    def moments(self, drawn: Array) -> Floats:
        """See `Input`."""
        return mean_moments(drawn, self.entries.total)

    def columns(self, drawn: Array, merchant: str) -> dict[str, pl.Series]:
        """See `Input`."""
        return {self.name: lists(drawn, self.words.texts(merchant))}

    def encoded(self, drawn: Array, merchant: str) -> dict[str, Array]:
        """See `Input`."""
        rows = rows_of(self.name, self.feature.buckets, self.key, self.words, merchant)
        return {f"ids.{self.name}": padded(drawn, rows, self.feature.max_values)}
