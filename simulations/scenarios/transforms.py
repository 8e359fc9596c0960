"""The public transforms of numbers, undone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_LARGEST = 30.0  # of a logarithm
Floats = NDArray[np.float64]


def undone(values: Floats, transform: str) -> Floats:
    """Return what a public transform makes `values` of.

    >>> undone(np.array([0.0, -1.0]), "log1p").round(3).tolist()
    [0.0, -0.632]
    """
    return _UNDONE[transform](values)


def _powers(values: Floats) -> Floats:
    return np.asarray(np.expm1(np.minimum(values, _LARGEST)))


_UNDONE: dict[str, Callable[[Floats], Floats]] = {
    "identity": lambda x: x,
    "log1p": _powers,
    "signed_log1p": lambda x: np.sign(x) * _powers(np.abs(x)),
}
