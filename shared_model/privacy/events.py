"""What was released, as data: Gaussian sums over Poisson samples of units.

An event never holds what it cost. Accountants get better; a stored epsilon could not.
"""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from shared_model import _validate


@dataclass(frozen=True, kw_only=True)
class PrivacyEvent:
    """So many releases of: the sum over a fresh Poisson sample of the units, plus Gaussian noise.

    Attributes:
        sampling_rate: Probability q in (0, 1] with which every unit is drawn; 1.0: everybody.
        noise_multiplier: Standard deviation of the noise over the sensitivity (adding or removing one unit);
            several clip groups of one step count as one mechanism, see `combined`.
        count: How many of them.

    Raises:
        ValueError: A value is outside its range. Without noise nothing can be claimed, and endless noise
            releases nothing: neither is an event.
    """

    sampling_rate: float
    noise_multiplier: float
    count: int = 1

    def __post_init__(self) -> None:
        _validate.positive(noise_multiplier=self.noise_multiplier, count=self.count)
        if not 0 < self.sampling_rate <= 1:
            raise ValueError(f"Expected sampling_rate in (0, 1], got {self.sampling_rate}.")
        if self.count != int(self.count):
            raise ValueError(f"Expected a whole count, got {self.count}.")


def combined(multipliers: Iterable[float]) -> float:
    """Return the noise multiplier of clip groups that are released together from the same sample.

    The groups form one vector; divided by its own noise each group moves by at most 1 / sigma_g, so the whole
    moves by sqrt(sum sigma_g^-2) of one standard deviation. Counting the groups as independent mechanisms, or
    only the largest, reports too little.

    Raises:
        ValueError: There is no group, or one without finite positive noise.

    >>> round(combined([1.2, 2.4]), 6)
    1.073313
    """
    multipliers = tuple(multipliers)
    if not multipliers:
        raise ValueError("Expected at least one clip group, got none.")
    for multiplier in multipliers:
        _validate.positive(noise_multiplier=multiplier)
    return 1 / math.hypot(*(1 / multiplier for multiplier in multipliers))


def composed(events: Iterable[PrivacyEvent]) -> tuple[PrivacyEvent, ...]:
    """Return the same releases with equal ones counted together, in one order whatever order they came in.

    >>> half = PrivacyEvent(sampling_rate=0.5, noise_multiplier=2.0)
    >>> [event.count for event in composed([half, half])]
    [2]
    """
    counts: Counter[tuple[float, float]] = Counter()
    for event in events:
        counts[event.sampling_rate, event.noise_multiplier] += event.count
    return tuple(
        PrivacyEvent(sampling_rate=q, noise_multiplier=sigma, count=count)
        for (q, sigma), count in sorted(counts.items())
    )


def scaled(events: Iterable[PrivacyEvent], factor: float) -> tuple[PrivacyEvent, ...]:
    """Return the releases with `factor` times their noise."""
    return tuple(replace(event, noise_multiplier=factor * event.noise_multiplier) for event in events)
