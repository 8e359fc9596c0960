"""Sequences of events. Notation: n rows, E entries, O outputs of all tasks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from shared_model import schema

from .base import Array, Entries, Floats, Setting
from .words import Words, choices, lists, mean_moments, mean_of, padded, rows_of

EVENTS = 5
"""A history has at most so many events."""


@dataclass(frozen=True)
class History:
    """A sequence of 1 to `EVENTS` events, shape (n, described features, L); -1 behind the last one."""

    name: str
    feature: schema.Sequence
    places: tuple[int, ...]
    words: tuple[Words, ...]
    buckets: tuple[int, ...]
    key: str

    @cached_property
    def entries(self) -> Entries:
        """See `Input`."""
        return Entries(
            np.concatenate([words.common for words in self.words]),
            copies=2 / len(self.words),  # the mean of 1 / events is 0.46
        )

    def draw(self, at: Setting, generator: np.random.Generator) -> Array:
        """Return the events, drawn by the merchant's odds."""
        n, length = len(at.owner), min(EVENTS, self.feature.max_length)
        known = np.arange(length) < generator.integers(1, length + 1, size=n)[:, None]
        events = [choices(at.log_odds[place], (n, length), generator) for place in self.places]
        return np.stack([np.where(known, drawn, -1) for drawn in events], 1)

    def score(self, drawn: Array, coefficients: Floats) -> Floats:
        """See `Input`; the mean over events, summed over what describes them."""
        parts = np.split(coefficients, np.cumsum([words.values for words in self.words])[:-1], axis=1)
        return np.asarray(sum(mean_of(drawn[:, i], part) for i, part in enumerate(parts)))

    def moments(self, drawn: Array) -> Floats:
        """See `Input`."""
        return np.concatenate([mean_moments(drawn[:, i], w.values) for i, w in enumerate(self.words)])

    def columns(self, drawn: Array, merchant: str) -> dict[str, pl.Series]:
        """See `Input`."""
        return {
            f"{self.name}.{of}": lists(drawn[:, i], self.words[i].texts(merchant))
            for i, of in enumerate(self.feature.of)
        }

    def encoded(self, drawn: Array, merchant: str) -> dict[str, Array]:
        """See `Input`."""
        return {
            f"ids.{self.name}.{of}": padded(
                drawn[:, i],
                rows_of(of, self.buckets[i], self.key, self.words[i], merchant),
                self.feature.max_length,
            )
            for i, of in enumerate(self.feature.of)
        }
