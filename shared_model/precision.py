"""The types in which numbers travel during training.

Down travel the shared arrays, rounded to the contract's type. Up travels, with `float32`, their new values;
with `float16` their *change*, because a small change of a large number would vanish when the number itself is
rounded to eleven bits. Both sides count from the same rounded start, so the rounding of what goes down is not
an error of the update.

A type is one row of `PRECISIONS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How arrays travel.

    Attributes:
        dtype: Of everything that travels.
        encode: `encode(trained, start)` is what a merchant answers for one array, in `dtype`.
        decode: `decode(answer, start)` is the trained array again, float32.
    """

    dtype: np.dtype[Any]
    encode: Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[Any]]
    decode: Callable[[NDArray[Any], NDArray[np.float32]], NDArray[np.float32]]


def rounded(arrays: Arrays, precision: Precision) -> dict[str, NDArray[Any]]:
    """Return `arrays` in the type that travels; too large numbers become infinite."""
    with np.errstate(over="ignore"):
        return {name: array.astype(precision.dtype, copy=False) for name, array in arrays.items()}


def encoded(trained: Arrays, start: Arrays, precision: Precision) -> dict[str, NDArray[Any]]:
    """Return a merchant's answer; too large numbers become infinite."""
    with np.errstate(over="ignore"):
        return {name: precision.encode(array, start[name]) for name, array in trained.items()}


def decoded(answer: Arrays, start: Arrays, precision: Precision) -> dict[str, NDArray[np.float32]]:
    """Return the trained arrays of an answer, float32."""
    return {name: precision.decode(array, start[name]) for name, array in answer.items()}


def _as_it_is(trained: NDArray[np.float32], start: NDArray[np.float32]) -> NDArray[Any]:
    return trained


def _half_change(trained: NDArray[np.float32], start: NDArray[np.float32]) -> NDArray[Any]:
    return (trained - start.astype(np.float32, copy=False)).astype(np.float16)


def _from_half_change(answer: NDArray[Any], start: NDArray[np.float32]) -> NDArray[np.float32]:
    changed: NDArray[np.float32] = start.astype(np.float32) + answer.astype(np.float32)
    return changed


def _same(answer: NDArray[Any], start: NDArray[np.float32]) -> NDArray[np.float32]:
    return answer.astype(np.float32, copy=False)


PRECISIONS: dict[str, Precision] = {
    "float32": Precision(dtype=np.dtype(np.float32), encode=_as_it_is, decode=_same),
    "float16": Precision(dtype=np.dtype(np.float16), encode=_half_change, decode=_from_half_change),
}
"""Value of `federation.precision` -> how arrays travel."""
