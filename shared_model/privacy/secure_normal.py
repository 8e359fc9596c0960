"""Gaussian noise in float64 that nobody can foresee or take off again.

A merchant's private steps draw float32 noise by the million and have a faster source of their own; this one
is for few numbers in double precision: the coordinator's noise on a sum of updates.
"""

import math
import os
from typing import Protocol

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from numpy.typing import NDArray

_BYTES_PER_DRAW = 8
_GRID_BITS = 20


class NormalSource(Protocol):
    """A source of independent draws from N(0, 1); numpy's generators are such sources too."""

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """Return `size` draws."""


class SecureNormal:
    """ChaCha20 keystream under a fresh key from `os.urandom` for every call, made normal by Box-Muller.

    Guarantees: no two calls share a key, and no key is kept. Uniforms have 64 bits, so a draw can be as large
    as 9.5 standard deviations; what lies beyond has a probability of 2e-21 for each.

    Source: Box and Muller (1958), "A Note on the Generation of Random Normal Deviates"; RFC 8439.
    """

    def standard_normal(self, size: int) -> NDArray[np.float64]:
        """Return `size` independent draws from N(0, 1), float64."""
        pairs = (size + 1) // 2
        radius = np.sqrt(-2.0 * np.log(_uniform(pairs)))
        angle = 2.0 * np.pi * _uniform(pairs)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:size]


def to_public_grid(values: NDArray[np.float64], noise_std: float) -> NDArray[np.float64]:
    """Return `values` rounded to multiples of a power of two about a millionth of `noise_std`.

    Floating-point noise leaves traces of what it was added to in the last bits (Mironov 2012, "On
    significance of the least significant bits for differential privacy"). On a grid that only the noise
    determines there are no such bits, and what is lost is nothing beside the noise.

    >>> float(to_public_grid(np.array([0.3000000001]), 1.0)[0])
    0.3000001907348633
    """
    step = 2.0 ** (math.floor(math.log2(noise_std)) - _GRID_BITS)
    return np.rint(values / step) * step


def _uniform(count: int) -> NDArray[np.float64]:
    """Return `count` draws from the uniform law on (0, 1], each made of 64 bits."""
    cipher = Cipher(algorithms.ChaCha20(os.urandom(32), bytes(16)), mode=None).encryptor()
    words = np.frombuffer(cipher.update(bytes(_BYTES_PER_DRAW * count)), dtype="<u8")
    return (words.astype(np.float64) + 0.5) * 2.0**-64
