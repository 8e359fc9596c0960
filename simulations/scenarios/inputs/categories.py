"""Categorical and text features. Notation: n rows, E entries, O outputs of all tasks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from client.data.hashing import bucket, grams
from shared_model import schema

from .base import Array, Entries, Floats, Setting
from .words import Words, choices, rows_of


@dataclass(frozen=True)
class Category:
    """A categorical or text feature: every row has one value, shape (n,)."""

    name: str
    feature: schema.Categorical | schema.Text
    place: int
    words: Words
    key: str

    @cached_property
    def entries(self) -> Entries:
        """See `Input`."""
        return Entries(self.words.common)

    def draw(self, at: Setting, generator: np.random.Generator) -> Array:
        """Return values, drawn by the merchant's odds."""
        return choices(at.log_odds[self.place], (len(at.owner),), generator)

    def score(self, drawn: Array, coefficients: Floats) -> Floats:
        """See `Input`."""
        return np.asarray(coefficients.T[drawn])

    def moments(self, drawn: Array) -> Floats:
        """See `Input`; near enough the share of the value."""
        return np.asarray(np.bincount(drawn, minlength=self.entries.total) / max(len(drawn), 1))

    def columns(self, drawn: Array, merchant: str) -> dict[str, pl.Series]:
        """See `Input`."""
        return {self.name: pl.Series(np.array(self.words.texts(merchant))[drawn])}

    def encoded(self, drawn: Array, merchant: str) -> dict[str, Array]:
        """See `Input`."""
        return {f"ids.{self.name}": self._rows(merchant)[drawn]}

    def _rows(self, merchant: str) -> Array:
        """Rows of the table that values stand for, shape (V,); of a text its n-grams', shape (V, grams)."""
        if isinstance(self.feature, schema.Categorical):
            return rows_of(self.name, self.feature.buckets, self.key, self.words, merchant)
        table = np.zeros((self.words.values, self.feature.max_grams), np.int32)
        for value, text in enumerate(self.words.texts(merchant)):
            for place, gram in enumerate(grams(text, self.feature)):
                table[value, place] = bucket(gram, name=self.name, buckets=self.feature.buckets, key=self.key)
        return table
