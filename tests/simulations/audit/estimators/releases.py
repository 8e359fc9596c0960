"""Releases as an honest mechanism makes them, for tests: Gaussian noise and a clipped gradient of norm 1."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared_model.privacy.events import PrivacyEvent


class Releases(NamedTuple):
    scores: NDArray[np.float64]  # steps x canaries
    entered: NDArray[np.bool_]  # steps x canaries
    inserted: NDArray[np.bool_]  # canaries


def releases(event: PrivacyEvent, *, canaries: int, seed: int, noise: float = 1.0) -> Releases:
    """Return what `event` releases on its canaries, with its noise times `noise`."""
    generator = np.random.default_rng(seed)
    inserted = generator.random(canaries) < 0.5
    entered = inserted & (generator.random((event.count, canaries)) < event.sampling_rate)
    drawn = generator.normal(size=entered.shape) * event.noise_multiplier * noise
    return Releases(drawn + entered, entered, inserted)
