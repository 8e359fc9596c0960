"""Rounding of what is released to a public grid.

The low bits of a float tell which numbers it was added up from, and with them more than the noise hides. So
whatever is released is first rounded to multiples of a step that depends on public constants alone; since
this happens after the noise it costs nothing, and at 1/256 to 1/512 of the noise it changes nothing.

Why so coarse: the noise is itself a float32, of which there are 2^23 between 1 and 2. How many of them fall
into one step of the grid depends, by one, on where the exact sum lies; the finer the grid, the more that one
is. Counted out: on a grid of 2^-12 to 2^-13 it moved the log odds of each number by .0005 to .001, which is
mu = .15 to .3 over the hundred thousand numbers of a dense layer, as much as a whole round is charged. Here
it is .01 to .02 (`tests/client/private/test_grid.py`).

Source: Mironov (2012), "On Significance of the Least Significant Bits for Differential Privacy", section 5.
"""

import math

import torch
from torch import Tensor

_FINENESS = 2.0**-8
"""Upper bound of the step, as a share of the noise."""

_LARGEST = 2.0**52
"""Steps from zero at which values are cut; a whole number of steps below it is exact in float64."""


def grid_step(std: float) -> float:
    """Return the step for noise of standard deviation `std` on each released number, a power of two.

    A power of two makes every multiple exact in binary floating point.

    >>> grid_step(1.0) == grid_step(1.9) == 2.0**-8
    True
    """
    return 2.0 ** math.floor(math.log2(std * _FINENESS))


def to_grid(values: Tensor, std: float) -> Tensor:
    """Return `values` rounded to the nearest multiples of `grid_step(std)`, halfway to the even one.

    What is not a number becomes 0, infinities the largest multiple: no value on the grid says that anything
    overflowed. Without noise there is no grid, and nothing changes.

    >>> to_grid(torch.tensor([0.30, 0.31]), 64.0)
    tensor([0.2500, 0.2500])
    """
    if std == 0:
        return values
    step = grid_step(std)
    steps = (values.double() / step).nan_to_num(0.0, _LARGEST, -_LARGEST).clamp(-_LARGEST, _LARGEST).round()
    largest = torch.finfo(values.dtype).max
    return (steps * step).clamp(-largest, largest).to(values.dtype)
