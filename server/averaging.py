"""The mean of the last half of the iterates, kept without keeping the iterates.

Averaging late iterates lowers the variance that noise and sampling leave in the last one
(Polyak and Juditsky 1992; Rakhlin et al. 2012 for the last part only).
"""

from dataclasses import dataclass, field

from .aggregation import Arrays


@dataclass(frozen=True)
class Average:
    """Mean of `count` iterates; empty while there are none."""

    count: int = 0
    mean: Arrays = field(default_factory=dict)


def include(average: Average, iterate: Arrays, *, round_number: int, rounds: int) -> Average:
    """Return `average` with the iterate of a round added, if the round is in the last half.

    The last half of an odd number of rounds contains the middle one: rounds 2 and 3 of 3.
    """
    if round_number <= rounds // 2:
        return average
    count = average.count + 1
    if count == 1:
        return Average(1, {name: array.copy() for name, array in iterate.items()})
    return Average(count, {n: mean + (iterate[n] - mean) / count for n, mean in average.mean.items()})
