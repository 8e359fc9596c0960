"""The weighted mean of the merchants' updates, one reply at a time.

An update is a reply's value minus the value the round started from. Sums are float64. Memory does not grow
with the number of merchants: a reply is added in place and can then be forgotten
(`tests/server/test_aggregation.py`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared_model.protocol import SharedArrays

Arrays = dict[str, NDArray[np.float64]]
"""The coordinator's own arithmetic: float64 under the names of the contract."""

_BLOCK = 1 << 15
"""Numbers handled at a time, so that intermediate results stay in the processor's cache."""


@dataclass(frozen=True)
class WeightedSum:
    """What has been added up so far in a round.

    Attributes:
        totals: Sum of weight * update, flat, per array.
        weights: Sum of weights, per array.
    """

    totals: Arrays = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)


def add(
    so_far: WeightedSum, values: SharedArrays, start: SharedArrays, *, weight: float, names: Collection[str]
) -> WeightedSum:
    """Return `so_far` with weight * (values - start) added to the arrays in `names`.

    The sums inside `so_far` are changed in place: use only what is returned.
    """
    for name in names:
        total = so_far.totals.get(name)
        if total is None:
            total = so_far.totals[name] = np.zeros(start[name].size)
        _add_update(total, values[name].reshape(-1), start[name].reshape(-1), weight)
        so_far.weights[name] = so_far.weights.get(name, 0.0) + weight
    return so_far


def mean_update(so_far: WeightedSum, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return the mean update of every array that at least one reply was added to."""
    return {
        name: (total / so_far.weights[name]).reshape(shapes[name]) for name, total in so_far.totals.items()
    }


def _add_update(
    total: NDArray[np.float64], value: NDArray[np.float32], start: NDArray[np.float32], weight: float
) -> None:
    """Add weight * (value - start) to `total`, all of shape (size,), in place."""
    if total.size <= _BLOCK:
        total += weight * np.subtract(value, start, dtype=np.float64)
        return
    block = np.empty(_BLOCK)
    for first in range(0, total.size, _BLOCK):
        part = slice(first, first + _BLOCK)
        update = block[: total[part].size]
        np.subtract(value[part], start[part], out=update, dtype=np.float64)
        update *= weight
        total[part] += update
