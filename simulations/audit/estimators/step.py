"""Epsilon from every step, seen from inside: the strongest audit, because it sees what an attacker may see.

Each step releases, on the coordinate of a canary, noise alone or noise and the canary's clipped gradient. The
two groups of numbers give the ratio of sensitivity to noise with an exact interval for Gaussian noise; the
accountant composes it over the steps that were claimed.

It trusts the composition theorem, the sampler and that the noise is Gaussian and fresh. The last two have
certificates of their own.

Notation: n releases with the canary, o without.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats
from scipy.special import ndtr

from shared_model.privacy import accounting
from shared_model.privacy.events import PrivacyEvent, scaled

from .one_run import Flags, Floats

_MANY = 2000
"""Degrees of freedom from which the noncentral t is normal to four digits."""


@dataclass(frozen=True, kw_only=True)
class Separation:
    """How far the two groups lie apart.

    Attributes:
        noise: Standard deviation of the noise, in the unit of the scores: estimate, low and high bound.
        sensitivity: Difference that a canary makes, in the same unit: estimate, low and high bound.
        ratio: Sensitivity over noise.
        ratio_low: One-sided lower bound of it; 0 where the groups are not told apart.
    """

    noise: tuple[float, float, float]
    sensitivity: tuple[float, float, float]
    ratio: float
    ratio_low: float


def separation(scores: Floats, present: Flags, *, confidence: float = 0.95) -> Separation:
    """Return how far scores with a canary lie from scores without one.

    Args:
        scores: Released numbers on canaries' coordinates, any shape.
        present: Whether the canary entered that release, same shape.
        confidence: Of each bound on its own.

    Raises:
        ValueError: A group has fewer than two scores.

    Source: the white-box step audit of Nasr et al. (2023), https://arxiv.org/abs/2302.07956, with the exact
    interval of a standardised mean difference (Hedges and Olkin 1985, section 5.E).
    """
    inside, outside = scores[present], scores[~present]
    if min(inside.size, outside.size) < 2:
        raise ValueError("Expected at least two scores with a canary and two without.")
    freedom = scores.size - 2
    squares = ((inside - inside.mean()) ** 2).sum() + ((outside - outside.mean()) ** 2).sum()
    noise = math.sqrt(squares / freedom)
    width = math.sqrt(1 / inside.size + 1 / outside.size)
    shift = float(inside.mean() - outside.mean())
    tail = (1 - confidence) / 2
    noise_low, noise_high = (math.sqrt(squares / stats.chi2.ppf(p, freedom)) for p in (1 - tail, tail))
    reach = float(stats.t.isf(tail, freedom)) * noise * width
    return Separation(
        noise=(noise, noise_low, noise_high),
        sensitivity=(shift, shift - reach, shift + reach),
        ratio=shift / noise,
        ratio_low=width * _noncentrality(shift / noise / width, freedom, 1 - confidence),
    )


def step_bound(
    found: Separation, events: Sequence[PrivacyEvent], *, multiplier: float, delta: float
) -> float:
    """Return the lower bound on epsilon of `events` when a step's noise is what was found.

    Args:
        found: From releases of steps.
        events: What was claimed.
        multiplier: Noise over sensitivity that was claimed for a step.
        delta: Of the claim.
    """
    if found.ratio_low * multiplier < 1e-3:
        return 0.0
    return accounting.epsilon(scaled(events, 1 / (found.ratio_low * multiplier)), delta)


def _noncentrality(t: float, freedom: int, error: float) -> float:
    """Return the noncentrality at which a noncentral t exceeds `t` with probability `error`; 0 if below."""
    low, high = 0.0, max(2 * abs(t), 10.0)
    if _exceeds(t, freedom, low) > error:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _exceeds(t, freedom, middle) < error else (low, middle)
    return low


def _exceeds(t: float, freedom: int, noncentrality: float) -> float:
    if freedom < _MANY:
        return float(stats.nct.sf(t, freedom, noncentrality))
    return float(ndtr((noncentrality - t) / math.sqrt(1 + t * t / (2 * freedom))))
