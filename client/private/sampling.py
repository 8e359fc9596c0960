"""Which units take part in a step."""

import torch
from torch import Tensor

from shared_model.errors import PrivacyError

from .noise import Noise

COIN = torch.float64
"""Kind of a unit's coin: uniform in [0, 1) with 53 bits, so that the rate is met to 1e-16."""


def poisson(units: int, rate: float, noise: Noise) -> Tensor:
    """Return the positions of the drawn units, ascending, shape (drawn,), int64.

    Every unit is drawn independently with probability `rate`. The sample may be empty and is never cut to a
    size, for either would be another mechanism than the one that is accounted for.

    Args:
        units: How many there are.
        rate: q in (0, 1]; 1 draws everybody.
        noise: Source of the coins.

    Raises:
        PrivacyError: `rate` is no sampling rate.

    Source: Abadi et al. (2016), "Deep Learning with Differential Privacy", section 3.1.
    """
    return drawn(noise.uniform_(torch.empty(units, dtype=COIN)), rate).nonzero().squeeze(1)


def drawn(coins: Tensor, rate: float) -> Tensor:
    """Return which units their coins draw, bool, in the shape of `coins`; other terms as for `poisson`."""
    if not 0 < rate <= 1:
        raise PrivacyError(f"Expected a sampling rate in (0, 1], got {rate}.")
    return coins < rate
