"""The weighted mean of the merchants' updates, one reply at a time.

An update is what a reply changes of the values that the round started from; it and sums are float64. Memory
does not grow with the number of merchants: a reply is added in place and can then be forgotten. Where no
reply changes anything, as in rows of a table that nobody reads, a sum takes no memory either: the system
gives pages to numbers once they are written (`tests/server/test_aggregation.py`).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from shared_model import precision
from shared_model.precision import Precision
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


@dataclass(frozen=True)
class Update:
    """What one checked reply changes, read a block at a time.

    Attributes:
        answer: Its arrays.
        start: What the round started from, as it travelled.
        precision: Of the contract.
    """

    answer: SharedArrays
    start: SharedArrays
    precision: Precision

    @cached_property
    def _scales(self) -> Mapping[str, float]:
        return precision.scales_of(self.answer, self.precision)

    def blocks(self, name: str) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield the places in the flat array of a block that changes, and its change, valid until the next.

        The block may be written to. A small array is one block, whether it changes or not.
        """
        answer, start = self.answer[name].reshape(-1), self.start[name].reshape(-1)
        scale, memory = self._scales[name], np.empty(min(_BLOCK, answer.size))
        if answer.size <= _BLOCK:
            self.precision.change(answer, start, scale, memory)
            yield slice(None), memory
            return
        for first in range(0, answer.size, _BLOCK):
            part = slice(first, min(first + _BLOCK, answer.size))
            if self.precision.moves(answer[part], start[part]):
                block = memory[: part.stop - first]
                self.precision.change(answer[part], start[part], scale, block)
                yield part, block


def add(so_far: WeightedSum, update: Update, *, weight: float, names: Collection[str]) -> WeightedSum:
    """Return `so_far` with weight * update added to the arrays in `names`.

    The sums inside `so_far` are changed in place: use only what is returned.
    """
    for name in names:
        total = so_far.totals.get(name)
        if total is None:
            total = so_far.totals[name] = np.zeros(update.start[name].size)
        for part, block in update.blocks(name):
            block *= weight
            total[part] += block
        so_far.weights[name] = so_far.weights.get(name, 0.0) + weight
    return so_far


def mean_update(so_far: WeightedSum, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Return the mean update of every array that at least one reply was added to."""
    return {
        name: (total / so_far.weights[name]).reshape(shapes[name]) for name, total in so_far.totals.items()
    }
