"""The Gaussian mechanism, exactly: where everybody takes part, the whole composition is one of it.

Notation: mu is the sensitivity over the standard deviation of the noise; releases compose to
mu^2 = sum of mu_i^2, also when each is chosen after looking at the ones before (Smith & Thakurta 2022,
https://arxiv.org/abs/2210.17520).
Source of the curve: Balle & Wang (2018), theorem 8, https://arxiv.org/abs/1805.06530.
"""

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

_ROUNDING = 1e-12
"""Relative; added to what is solved for, so that rounding never reports too little."""


def delta_at(mu: float, epsilon: float) -> float:
    """Return the smallest delta for which the mechanism is (epsilon, delta)-private.

    >>> round(delta_at(1.0, 4.3772), 8)
    1e-05
    """
    tail = math.exp(min(0.0, epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))))
    return max(0.0, float(ndtr(mu / 2 - epsilon / mu)) - tail)


def epsilon_at(mu: float, delta: float) -> float:
    """Return the smallest epsilon for which the mechanism is (epsilon, delta)-private.

    >>> round(epsilon_at(1.0, 1e-5), 4)
    4.3772
    """
    if delta_at(mu, 0.0) <= delta:
        return 0.0
    above = mu * mu / 2 + mu * math.sqrt(
        -2 * math.log(delta)
    )  # the loss is N(mu^2/2, mu^2): its Chernoff bound
    found = brentq(lambda epsilon: delta_at(mu, epsilon) - delta, 0.0, above, xtol=1e-13, rtol=1e-14)
    return float(found) * (1 + _ROUNDING)


def mu_at(epsilon: float, delta: float) -> float:
    """Return the largest mu whose mechanism is (epsilon, delta)-private.

    >>> round(mu_at(4.3772, 1e-5), 4)
    1.0
    """
    above = 1.0
    while delta_at(above, epsilon) < delta:
        above *= 2
    found = brentq(lambda mu: delta_at(mu, epsilon) - delta, above * 2.0**-60, above, xtol=1e-15, rtol=1e-14)
    return float(found) * (1 - _ROUNDING)
