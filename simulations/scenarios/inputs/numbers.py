"""Numeric features. Notation: n rows, E entries, O outputs of all tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from client.data.encoding import encode_numbers
from shared_model import schema

from ..transforms import undone
from .base import Array, Entries, Floats, Setting

SEASONAL = ("season_sin", "season_cos")
"""Numeric features of these names hold the season, as they do in rows of shop tables."""


@dataclass(frozen=True)
class Numbers:
    """All numeric features; what is drawn is what a model reads, before it is rounded, shape (n, numbers)."""

    features: Mapping[str, schema.Numeric]

    @cached_property
    def entries(self) -> Entries:
        """See `Input`."""
        return Entries(np.ones(len(self.features), np.bool_), features=len(self._plain))

    @cached_property
    def _plain(self) -> list[int]:
        return [place for place, name in enumerate(self.features) if name not in SEASONAL]

    @cached_property
    def _scaling(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Center and scale, and the least and the largest value of what a model reads; (numbers,) each."""
        every = self.features.values()
        clip = np.array([f.clip for f in every])
        center, scale = np.array([f.center for f in every]), np.array([f.scale for f in every])
        zero = np.where([f.transform == "log1p" for f in every], -center / scale, -np.inf)
        return center, scale, np.minimum(np.maximum(-clip, zero), clip), clip

    def draw(self, at: Setting, generator: np.random.Generator) -> Array:
        """Return numbers around the merchant's means; the season where a feature is named so."""
        drawn = np.sqrt(1 - at.likeness) * generator.standard_normal((len(at.owner), self.entries.total))
        drawn += at.means + np.sqrt(at.likeness) * at.tastes[at.owner]
        for place, name in enumerate(self.features):
            if name in SEASONAL:
                season = at.season[:, SEASONAL.index(name)]
                drawn[:, place] = encode_numbers(season, self.features[name])
        _, _, low, high = self._scaling
        return np.asarray(np.clip(drawn, low, high))

    def score(self, drawn: Array, coefficients: Floats) -> Floats:
        """See `Input`; the season has coefficients of its own."""
        return np.asarray(drawn[:, self._plain] @ coefficients[:, self._plain].T)

    def moments(self, drawn: Array) -> Floats:
        """See `Input`."""
        variance = drawn.var(0)
        return np.asarray(np.where(np.isin(np.arange(self.entries.total), self._plain), variance, 0.0))

    def columns(self, drawn: Array, merchant: str) -> dict[str, pl.Series]:
        """Return raw values: center + scale x what is drawn, under the inverse of the transform."""
        center, scale, _, _ = self._scaling
        raw = center + scale * drawn
        return {
            name: pl.Series(undone(raw[:, place], feature.transform))
            for place, (name, feature) in enumerate(self.features.items())
        }

    def encoded(self, drawn: Array, merchant: str) -> dict[str, Array]:
        """See `Input`."""
        return {"numeric": drawn.astype(np.float32)}
