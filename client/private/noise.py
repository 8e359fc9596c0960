"""Where the noise of private training comes from.

`SecureNoise` is what a merchant uses: its key comes from the operating system, is never stored and cannot be
set. `SeededNoise` draws from a named generator: for simulations and audits, never for a release.
"""

import math
import os
from typing import Protocol

import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms
from torch import Tensor

_CHUNK = 1 << 17
"""Words of 32 bits made at a time; with what is made of them they stay in the cache."""

_REKEY = 1 << 28
"""Words after which a new key is taken, far from the 2^36 at which the cipher's block counter would wrap."""

_POSITIVE = 2**31 - 1
"""Takes the sign off a word."""

_SMALL = 2.0**15
"""Words of 31 bits below this get 31 more; above it, float32 holds nearly all there is."""


class Noise(Protocol):
    """A source of independent random numbers."""

    def normal_(self, out: Tensor) -> Tensor:
        """Fill `out` with independent draws from N(0, 1) and return it."""

    def uniform_(self, out: Tensor) -> Tensor:
        """Fill `out` with independent draws from U[0, 1) and return it."""


class SeededNoise:
    """Reproducible noise: whoever knows the seed can take it off again, so never for a release."""

    def __init__(self, generator: torch.Generator) -> None:
        """Store the generator; its device is the device of every `out`."""
        self._generator = generator

    def normal_(self, out: Tensor) -> Tensor:
        """Fill `out` with N(0, 1)."""
        return out.normal_(generator=self._generator)

    def uniform_(self, out: Tensor) -> Tensor:
        """Fill `out` with U[0, 1)."""
        return out.uniform_(generator=self._generator)


class SecureNoise:
    """ChaCha20 keystream under a key from `os.urandom`, turned into uniforms and, by Box-Muller, normals.

    Guarantees: no two sources, and no two processes after a fork, share a key. A normal has the tail of a
    uniform of 62 bits (9.3 standard deviations): with 32 bits it would end at 6.7, a total variation of about
    1e-4 over 16 million coordinates. Uniforms of type float64 have 53 bits, so that a sampling rate q is met
    to 1e-16; those of type float32 have 24.

    Not to be shared between threads.

    Source: Box and Muller (1958), "A Note on the Generation of Random Normal Deviates"; RFC 8439.
    """

    def __init__(self) -> None:
        """Take a key from the operating system."""
        self._zeros = bytes(4 * _CHUNK)
        self._buffer = bytearray(4 * _CHUNK)
        self._words = torch.frombuffer(self._buffer, dtype=torch.int32)
        self._rekey()

    def normal_(self, out: Tensor) -> Tensor:
        """Fill `out` with N(0, 1)."""
        if out.dtype != torch.float32 or not out.is_contiguous() or out.device.type != "cpu":
            return out.copy_(self.normal_(torch.empty(out.shape)))
        flat, half = out.view(-1), _CHUNK // 2
        for start in range(0, flat.numel(), 2 * half):
            part = flat[start : start + 2 * half]
            pairs = (part.numel() + 1) // 2
            radius, angle = self._radius(pairs), self._angle(pairs)
            torch.mul(angle.cos(), radius, out=part[:pairs])
            rest = part.numel() - pairs
            torch.mul(angle.sin_()[:rest], radius[:rest], out=part[pairs:])
        return out

    def uniform_(self, out: Tensor) -> Tensor:
        """Fill `out` with U[0, 1)."""
        bits = 53 if out.dtype == torch.float64 else 24
        flat = torch.empty(out.numel(), dtype=torch.float64)
        for start in range(0, flat.numel(), _CHUNK // 2):
            part = flat[start : start + _CHUNK // 2]
            words = self._fresh(2 * part.numel()).view(torch.int64)
            part.copy_((words >> (64 - bits)) & ((1 << bits) - 1)).mul_(2.0**-bits)
        return out.copy_(flat.view(out.shape))

    def _radius(self, count: int) -> Tensor:
        """Return sqrt(-2 ln u), u uniform in (0, 1]; a small u gets 31 bits more, since it makes the tail."""
        u = (self._fresh(count) & _POSITIVE).to(torch.float32)
        if u.min() < _SMALL:
            small = (u < _SMALL).nonzero().squeeze(1)
            rest = (self._fresh(len(small)) & _POSITIVE).to(torch.float32).add_(0.5).mul_(2.0**-31)
            u.index_add_(0, small, rest)
        return u.mul_(2.0**-31).log_().mul_(-2.0).sqrt_()

    def _angle(self, count: int) -> Tensor:
        return self._fresh(count).to(torch.float32).mul_(math.pi * 2.0**-31)

    def _fresh(self, count: int) -> Tensor:
        """Return `count` words of keystream, valid until the next call."""
        if self._left < count or self._process != os.getpid():
            self._rekey()
        self._left -= count
        self._cipher.update_into(memoryview(self._zeros)[: 4 * count], self._buffer)
        return self._words[:count]

    def _rekey(self) -> None:
        cipher = Cipher(algorithms.ChaCha20(os.urandom(32), bytes(16)), mode=None)
        self._cipher: CipherContext = cipher.encryptor()
        self._left, self._process = _REKEY, os.getpid()
