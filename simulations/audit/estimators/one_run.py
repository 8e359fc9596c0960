"""Epsilon from one training run, without any assumption about the mechanism.

Many canaries are put in or left out by independent fair coins. Whoever guesses the coins from what was
released cannot be right much more often than the claimed epsilon allows.

Notation: m canaries, r guesses, v of them right.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

GUESSES = 8
"""Numbers of guesses that are tried; each gets its share of the error."""

_HIGHEST = 100.0


def one_run(scores: Floats, present: Flags, *, delta: float, confidence: float = 0.95) -> float:
    """Return a lower bound on epsilon.

    The largest scores are guessed to be in, as many of the smallest to be out, the rest is left open.

    Args:
        scores: How present each canary looks, shape (m,).
        present: Whether it was, by a fair coin of its own, shape (m,).
        delta: Of the claim.
        confidence: Of the bound, over all numbers of guesses together.

    Source: Steinke, Nasr and Jagielski (2023), theorem 5.2, https://arxiv.org/abs/2305.08846
    """
    error = (1 - confidence) / GUESSES
    return max(
        _bound(len(scores), guesses, right, delta, error) for guesses, right in outcomes(scores, present)
    )


def outcomes(scores: Floats, present: Flags) -> list[tuple[int, int]]:
    """Return (guesses, right ones) for every number of guesses that is tried."""
    order = np.argsort(scores, kind="stable")
    half = len(scores) // 2
    sides = np.geomspace(min(16, half), half, GUESSES).astype(int)
    return [(2 * int(k), int(present[order[-k:]].sum() + (~present[order[:k]]).sum())) for k in sides]


def p_value(m: int, guesses: int, right: int, *, epsilon: float, delta: float) -> float:
    """Return the largest probability of so many right guesses under (epsilon, delta)-DP.

    >>> round(p_value(10, 10, 10, epsilon=0.0, delta=0.0), 6)  # ten fair coins: 2^-10
    0.000977
    """
    rate = 1 / (1 + math.exp(-epsilon))
    tail = float(stats.binom.sf(right - 1, guesses, rate))
    if not right:
        return 1.0
    below = np.arange(1, right + 1)
    masses = np.cumsum(stats.binom.pmf(right - below, guesses, rate))
    return min(1.0, tail + 2 * m * delta * float((masses / below).max()))


def _bound(m: int, guesses: int, right: int, delta: float, error: float) -> float:
    def refuted(epsilon: float) -> bool:
        return p_value(m, guesses, right, epsilon=epsilon, delta=delta) < error

    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high) and high < _HIGHEST:
        low, high = high, 2 * high
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
