"""What a list of events promises at every epsilon at once: its privacy profile.

Notation: q sampling rate, z noise multiplier, T steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from dp_accounting.pld import privacy_loss_distribution as pld
from numpy.typing import NDArray
from scipy.special import log_ndtr

from shared_model.privacy.events import PrivacyEvent

Floats = NDArray[np.float64]

_INTERVAL = 1e-3
"""Grid of the privacy loss: coarse, and pessimistic by less than 1 % of epsilon."""

_EPSILONS = np.concatenate([np.linspace(0, 12, 241), np.geomspace(12.1, 400, 80)])


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Delta as a function of epsilon, on a grid; both shapes (N,).

    Guarantee: between two points of the grid the larger delta stands, so the curve never promises more than
    the mechanism does (`tests/simulations/audit/estimators/test_curves.py`).
    """

    epsilons: Floats
    deltas: Floats

    def least(self, y: float) -> float:
        """Return the least probability, in the neighbouring world, of an event of probability `y`.

        It is max over epsilon of exp(-epsilon) (y - delta), and of the same for the complement: the trade-off
        function of a privacy profile (Dong, Roth and Su 2022, proposition 2.12), inverted.
        """
        weights = np.exp(-self.epsilons)
        direct = ((y - self.deltas) * weights).max()
        mirrored = (1 - self.deltas - (1 - y) / weights).max()
        return max(0.0, float(direct), float(mirrored))


def curve_of(events: Sequence[PrivacyEvent]) -> Curve:
    """Return the profile of `events`.

    Full batches compose exactly, mu^2 = sum of T / z^2 (Dong, Roth and Su 2022, corollary 3.3); sampled
    ones by privacy loss distributions (Koskela, Jälkö and Honkela 2020), discretised pessimistically.

    Raises:
        ValueError: There are no events, or an event has no noise.
    """
    if not events or any(e.noise_multiplier <= 0 for e in events):
        raise ValueError("Expected at least one event, and noise in every one.")
    if all(e.sampling_rate == 1.0 for e in events):
        mu = math.sqrt(sum(e.count / e.noise_multiplier**2 for e in events))
        return Curve(epsilons=_EPSILONS, deltas=gaussian_delta(mu, _EPSILONS))
    distributions = [_distribution(e) for e in events]
    composed = reduce(lambda left, right: left.compose(right), distributions)
    return Curve(epsilons=_EPSILONS, deltas=np.asarray(composed.get_delta_for_epsilon(_EPSILONS.tolist())))


def gaussian_delta(mu: float, epsilons: Floats) -> Floats:
    """Return delta(epsilon) of one Gaussian release with sensitivity / noise = `mu`, shape (N,).

    Source: Balle and Wang (2018), theorem 8, https://arxiv.org/abs/1805.06530

    >>> gaussian_delta(1.0, np.array([1.0])).round(4).tolist()
    [0.1269]
    """
    ratio = epsilons / mu
    found: Floats = np.exp(log_ndtr(mu / 2 - ratio)) - np.exp(epsilons + log_ndtr(-mu / 2 - ratio))
    return found


def _distribution(event: PrivacyEvent) -> pld.PrivacyLossDistribution:
    one = pld.from_gaussian_mechanism(
        event.noise_multiplier,
        sampling_prob=event.sampling_rate,
        value_discretization_interval=_INTERVAL,
    )
    return one.self_compose(event.count)
