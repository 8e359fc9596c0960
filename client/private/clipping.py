"""The one bound on what a unit may contribute: per clip group, its gradient is shrunk to the clipping norm.

Notation: U units. The coefficient of a unit in a group is c = min(1, C / n), where n is never below the norm
of the unit's gradient over all parameters of the group; the unit contributes c times its gradient.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 2.0**-20
"""A unit moves a sum by at most C (1 + 2^-20), about C (1 + 1e-6): room for the rounding of float32."""

_ROUNDING = 2.0**-22
"""What float32 may lose of each term of a sum, as a share of the term: four roundings."""

_LEAST = 2.0**-126
"""The least number that float32 holds with all its digits."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Parameters that are clipped together.

    Attributes:
        name: For messages.
        parameters: Their names in the model.
        clipping_norm: C, in units of a gradient; infinite: no bound, and so no privacy.
        noise_std: Standard deviation of the Gaussian noise on every coordinate of the sum over units.
    """

    name: str
    parameters: tuple[str, ...]
    clipping_norm: float
    noise_std: float


def coefficients(norms: Tensor, clipping_norm: float) -> Tensor:
    """Return c, shape (U,), from upper bounds of the norms, shape (U,).

    A unit whose norm is not finite gets 0, and so does one whose c float32 could not hold without losing
    digits (below 2^-126): rounded up it would let in more than C.

    >>> coefficients(torch.tensor([0.5, 4.0, float("nan")]), 1.0)
    tensor([1.0000, 0.2500, 0.0000])
    """
    shrunk = (clipping_norm / norms).clamp(max=1.0)
    return torch.where(norms.isfinite() & (shrunk >= _LEAST), shrunk, torch.zeros_like(shrunk))


def bounded(lengths: Tensor, terms: Tensor) -> Tensor:
    """Return an upper bound of the lengths of sums, (U,), that holds for sums computed in float32.

    Where the terms of a unit's sum cancel, rounding is a share of the terms and not of the sum; whoever has
    two opposite rows of length 1e9 must not get in what rounding leaves of them. For the bound n',
    min(1, C / n') (n + 2^-22 terms) <= C (1 + 2^-20); where terms is below 4 n, n' = n.

    Args:
        lengths: Of each unit's sum, n.
        terms: The sum of the lengths of its terms, at least n.
    """
    return torch.maximum(lengths, (lengths + _ROUNDING * terms) / (1 + TOLERANCE))


def combined_multiplier(groups: Iterable[Group]) -> float:
    """Return the noise multiplier of a step of all groups together, (sum of (C / std)^2)^(-1/2).

    All groups see the same sample, so they are one mechanism. Each unit may move a group's sum by C at most;
    where a privacy unit is counted twice (a product and its first buyer), the caller halves the result.
    """
    precision = sum((g.clipping_norm / g.noise_std) ** 2 if g.noise_std else math.inf for g in groups)
    return precision**-0.5 if precision < math.inf else 0.0


def joint_norm(groups: Iterable[Group]) -> float:
    """Return the bound on a unit's contribution to all groups together."""
    return math.hypot(*(group.clipping_norm for group in groups))
