"""Vectors. Notation: n rows, E entries, O outputs of all tasks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from shared_model import schema

from .base import Array, Entries, Floats, Setting


@dataclass(frozen=True)
class Vector:
    """A vector of standard normals, shape (n, length)."""

    name: str
    feature: schema.Vector

    @cached_property
    def entries(self) -> Entries:
        """See `Input`."""
        return Entries(np.ones(self.feature.length, np.bool_), copies=1 / self.feature.length)

    def draw(self, at: Setting, generator: np.random.Generator) -> Array:
        """Return the vectors."""
        return generator.standard_normal((len(at.owner), self.entries.total), dtype=np.float32)

    def score(self, drawn: Array, coefficients: Floats) -> Floats:
        """See `Input`."""
        return np.asarray(drawn @ coefficients.T)

    def moments(self, drawn: Array) -> Floats:
        """See `Input`."""
        return np.ones(self.entries.total)

    def columns(self, drawn: Array, merchant: str) -> dict[str, pl.Series]:
        """See `Input`."""
        return {self.name: pl.Series(drawn.tolist(), dtype=pl.List(pl.Float32))}

    def encoded(self, drawn: Array, merchant: str) -> dict[str, Array]:
        """See `Input`."""
        return {f"vectors.{self.name}": drawn}
