"""Sources of noise that an auditor controls."""

from collections.abc import Callable

import torch
from torch import Tensor

from client.private.noise import Noise


class Silence:
    """No noise, and coins that draw everybody: what is left of a step is its clipped sum."""

    def normal_(self, out: Tensor) -> Tensor:
        """Fill `out` with zeros."""
        return out.zero_()

    def uniform_(self, out: Tensor) -> Tensor:
        """Fill `out` with zeros, which are below every rate."""
        return out.zero_()


class Apart:
    """The noise of one source and the coins of another, so that more coins do not move the noise."""

    def __init__(self, noise: Noise, coins: Noise) -> None:
        self._noise, self._coins = noise, coins

    def normal_(self, out: Tensor) -> Tensor:
        """Fill `out` with the one's normals."""
        return self._noise.normal_(out)

    def uniform_(self, out: Tensor) -> Tensor:
        """Fill `out` with the other's uniforms."""
        return self._coins.uniform_(out)


def silent(generator: torch.Generator) -> Noise:
    """Return `Silence`, whatever the generator."""
    return Silence()


def everybody(noise: Callable[[torch.Generator], Noise]) -> Callable[[torch.Generator], Noise]:
    """Return a source of the same noise whose coins draw everybody."""
    return lambda generator: Apart(noise(generator), Silence())
