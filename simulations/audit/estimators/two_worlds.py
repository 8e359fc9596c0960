"""Epsilon from many runs of two worlds, one with the target and one without.

The plainest audit, which assumes nothing about the noise: a threshold on a score is an attack, and no attack
on a private mechanism has many more hits than false alarms. It needs thousands of runs, so it suits
mechanisms of which a run is cheap, as one step is.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


_TAIL = np.geomspace(1e-5, 1e-2, 40)
_SHARES = np.concatenate([_TAIL, np.linspace(0.01, 0.99, 99), 1 - _TAIL])
"""Thresholds are tried at these quantiles of all scores; the best ones lie far out."""


def two_worlds(outside: Floats, inside: Floats, *, delta: float, confidence: float = 0.95) -> float:
    """Return a lower bound on epsilon from attack scores of runs without and with the target.

    The even runs choose the threshold and the direction, the odd ones are judged by it, so that the choice
    costs nothing.

    Args:
        outside: Scores of runs without the target, shape (n,).
        inside: Scores of runs with it, shape (n,), drawn independently.
        delta: Of the claim.
        confidence: Of the bound.

    Raises:
        ValueError: There are fewer than four runs of a world.

    Source: Jagielski, Ullman and Oprea (2020), section 4, https://arxiv.org/abs/2006.07709
    """
    if min(outside.size, inside.size) < 4:
        raise ValueError("Expected at least four runs of each world.")
    tail = (1 - confidence) / 2
    pairs = ((outside, inside), (-outside, -inside), (inside, outside), (-inside, -outside))
    chosen = max(((_best(a[::2], b[::2], delta, tail), a, b) for a, b in pairs), key=lambda found: found[0])
    (_, threshold), alarms, hits = chosen
    return max(0.0, _log_ratio(alarms[1::2] >= threshold, hits[1::2] >= threshold, delta, tail))


def _best(alarms: Floats, hits: Floats, delta: float, tail: float) -> tuple[float, float]:
    """Return (bound, threshold) of the best threshold for these runs."""
    thresholds = np.unique(np.quantile(np.concatenate([alarms, hits]), _SHARES))
    return max((_log_ratio(alarms >= t, hits >= t, delta, tail), float(t)) for t in thresholds)


def _log_ratio(alarms: NDArray[np.bool_], hits: NDArray[np.bool_], delta: float, tail: float) -> float:
    """Return log((hit rate - delta) / false-alarm rate), both at their Clopper-Pearson bounds."""
    rate_low = _at_least(int(hits.sum()), hits.size, tail)
    rate_high = 1 - _at_least(int((~alarms).sum()), alarms.size, tail)
    return math.log((rate_low - delta) / rate_high) if rate_low > delta else -math.inf


def _at_least(successes: int, trials: int, tail: float) -> float:
    return float(stats.beta.ppf(tail, successes, trials - successes + 1)) if successes else 0.0
