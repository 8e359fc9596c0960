"""Broken samplers: shoppers are not drawn each alone and anew, or not at the public rate."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from client.private.noise import Noise
from client.private.sampling import poisson
from simulations.audit.mechanism import HONEST, Mechanism


class _Shuffled:
    """Epochs over a shuffled order, in batches of one size."""

    def __init__(self) -> None:
        self._waiting: list[Tensor] = []

    def __call__(self, units: int, rate: float, noise: Noise) -> Tensor:
        if not self._waiting or int(sum(len(b) for b in self._waiting)) > units:
            order = noise.uniform_(torch.empty(units, dtype=torch.float64)).argsort()
            self._waiting = list(torch.split(order, max(1, round(rate * units))))
        return self._waiting.pop().sort().values


def _fixed_size(units: int, rate: float, noise: Noise) -> Tensor:
    order = noise.uniform_(torch.empty(units, dtype=torch.float64)).argsort()
    return order[: round(rate * units)].sort().values


def _rate_plus_5_percent(units: int, rate: float, noise: Noise) -> Tensor:
    return poisson(units, min(1.0, 1.05 * rate), noise)


def _at_most_the_expected(units: int, rate: float, noise: Noise) -> Tensor:
    return poisson(units, rate, noise)[: round(rate * units)]


class _OnceARound:
    """The first step's sample serves the whole round."""

    def __init__(self) -> None:
        self._last: tuple[Noise, Tensor] | None = None

    def __call__(self, units: int, rate: float, noise: Noise) -> Tensor:
        if self._last is None or self._last[0] is not noise:
            self._last = noise, poisson(units, rate, noise)
        return self._last[1]


MUTANTS: dict[str, Callable[[], Mechanism]] = {
    "shuffled batches": lambda: replace(HONEST, poisson=_Shuffled()),
    "batches of a fixed size": lambda: replace(HONEST, poisson=_fixed_size),
    "batches cut to a size": lambda: replace(HONEST, poisson=_at_most_the_expected),
    "sampling rate + 5 %": lambda: replace(HONEST, poisson=_rate_plus_5_percent),
    "one sample for a round": lambda: replace(HONEST, poisson=_OnceARound()),
}
"""Name -> the mechanism (`simulations.audit.mutants`)."""
