"""What releases of sums need of a source of noise."""

from typing import Protocol

from torch import Tensor


class Normals(Protocol):
    """Normal numbers (`client.private.noise.Noise` makes them)."""

    def normal_(self, out: Tensor) -> Tensor:
        """Fill `out` with independent draws from N(0, 1) and return it."""
