"""Which units take part in a step."""

import torch
from torch import Tensor

from shared_model.errors import PrivacyError

from .noise import Noise


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
    if not 0 < rate <= 1:
        raise PrivacyError(f"Expected a sampling rate in (0, 1], got {rate}.")
    coins = noise.uniform_(torch.empty(units, dtype=torch.float64))
    return (coins < rate).nonzero().squeeze(1)
