"""How much noise a plan needs to stay within its budget."""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

from scipy.optimize import brentq

from . import gaussian
from .accounting import Events, everybody, gaussian_mu, upper_epsilon
from .accounting import epsilon as cost
from .events import PrivacyEvent, composed, scaled

_TOLERANCE = 1e-4
"""Relative, on the factor: about as much as the grid's own rounding is worth."""


def calibrated(events: Iterable[PrivacyEvent], *, epsilon: float, delta: float) -> float:
    """Return the smallest factor z for which `events` with z times their noise cost at most `epsilon`.

    The cost is that of `accounting.epsilon`, and the answer errs on the safe side: by 1e-9 of z where every
    sampling rate is 1, by up to 1e-4 of z elsewhere, which takes one to five seconds.

    Args:
        events: The whole plan, with the noise multipliers in the wanted proportion to each other.
        epsilon: The most it may cost.
        delta: At this delta.

    Raises:
        ValueError: There are no events, or `epsilon` or `delta` is outside its range.

    >>> plan = [PrivacyEvent(sampling_rate=1.0, noise_multiplier=1.0)]
    >>> round(calibrated(plan, epsilon=4.3772, delta=1e-5), 4)
    1.0
    """
    plan = composed(events)
    if not plan:
        raise ValueError("Expected at least one event, got none.")
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"Expected epsilon > 0, got {epsilon}.")
    if not 0 < delta < 1:
        raise ValueError(f"Expected delta in (0, 1), got {delta}.")
    return _calibrated(plan, epsilon, delta)


@lru_cache(maxsize=256)
def _calibrated(plan: Events, epsilon: float, delta: float) -> float:
    # As if everybody took part; a little more than needed, so that a multiplier that is recomputed from
    # rounded products still fits.
    enough = gaussian_mu(plan) / gaussian.mu_at(epsilon, delta) * (1 + 1e-10)
    if everybody(plan):
        return enough

    least = epsilon * 1e-9  # rare samples may cost nothing at all at this delta, and 0 has no logarithm

    def quick(z: float) -> float:
        return max(least, upper_epsilon(scaled(plan, z), delta))

    def exact(z: float) -> float:
        return max(least, cost(scaled(plan, z), delta))

    rough = _smallest(quick, epsilon, enough)
    steepness = math.log(quick(rough) / quick(1.01 * rough)) / math.log(1.01)
    return _refined(exact, epsilon, rough, max(1.0, steepness))


def _smallest(spent: Callable[[float], float], limit: float, fitting: float) -> float:
    """Return a factor that spends at most `limit`, at most `_TOLERANCE` above the smallest that does.

    Args:
        spent: Falls as the factor grows.
        limit: At most so much may be spent.
        fitting: A factor known to fit.
    """
    failing = 0.7 * fitting
    while spent(failing) <= limit:
        fitting, failing = failing, failing * failing / fitting
    root = brentq(
        lambda log: math.log(spent(math.exp(log)) / limit),
        math.log(failing),
        math.log(fitting),
        xtol=_TOLERANCE / 8,
    )
    return _raised(spent, limit, math.exp(root), at_most=fitting)


def _refined(spent: Callable[[float], float], limit: float, fitting: float, steepness: float) -> float:
    """Return a smaller factor than `fitting` by Newton's steps, for a `spent` that is slow but better.

    The first three arguments are those of `_smallest`; about `steepness` per cent more is spent for one per
    cent less of the factor.
    """
    if spent(fitting) < limit / 2:  # spending jumps here; there is nothing in between
        return fitting
    while (smaller := fitting * (spent(fitting) / limit) ** (1 / steepness)) < fitting * (1 - _TOLERANCE / 2):
        raised = _raised(spent, limit, smaller, at_most=fitting)
        if raised > smaller * (1 + _TOLERANCE):  # the step was too long, and what it passed is now found
            return raised
        fitting = raised
    return fitting


def _raised(spent: Callable[[float], float], limit: float, factor: float, *, at_most: float) -> float:
    """Return the first factor that fits, a little above `factor`; `at_most` is known to fit."""
    step = _TOLERANCE / 4
    while (factor := factor * (1 + step)) < at_most and spent(factor) > limit:
        step *= 2
    return min(factor, at_most)
