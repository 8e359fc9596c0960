"""The types in which numbers travel during training.

Down travel the shared arrays, rounded to the contract's type. Up travels, with `float32`, their new values;
with the others their *change*, because a small change of a large number would vanish when the number itself
is rounded to a few bits. Both sides count from the same rounded start, so the rounding of what goes down is
not an error of the update.

With `int8` a change is a whole number of steps between -127 and 127. The length of a step is a number of its
own for every array and answer, the largest change over 127; it travels beside the arrays (`protocol.SCALES`).
A change between two steps goes to either, by chance, so that on average it arrives as it is (Alistarh et al.
2017, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding", section 3.1, with the
largest number in the place of the norm). Down goes float16.

Under `[privacy]` a change is noised and rounded to the public grid before it comes here; whatever is computed
from it afterwards, the steps too, is post-processing and costs nothing. Without it nothing is promised.

A type is one row of `PRECISIONS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import protocol

Arrays = Mapping[str, NDArray[Any]]

Uniform = Callable[[int], NDArray[np.float32]]
"""`uniform(size)` is so many independent draws from U[0, 1)."""

_LARGEST = 127
"""Steps of `int8` from zero at which the largest change lies."""

_BLOCK = 1 << 15
"""Numbers encoded at a time, so that intermediate results stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How arrays travel.

    Attributes:
        down: Type of what a merchant gets.
        up: Type of what it answers.
        scaled: Whether the length of a step travels beside every array of an answer.
        encode: `encode(trained, start, uniform)` is what a merchant answers for one array, in `up`, and the
            length of a step (1 where nothing is scaled). Not finite where the change does not fit.
        changed: `changed(answer, start)` says of every number whether trained is anything but start.
        change: `change(answer, start, scale, out)` writes trained minus start into `out`; all flat.
    """

    down: np.dtype[Any]
    up: np.dtype[Any]
    scaled: bool = False
    encode: Callable[[NDArray[np.float32], NDArray[np.float32], Uniform], tuple[NDArray[Any], float]]
    changed: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]
    change: Callable[[NDArray[Any], NDArray[Any], float, NDArray[np.float64]], None]


def rounded(arrays: Arrays, precision: Precision) -> dict[str, NDArray[Any]]:
    """Return `arrays` in the type that goes down; too large numbers become infinite."""
    with np.errstate(over="ignore"):
        return {name: array.astype(precision.down, copy=False) for name, array in arrays.items()}


def encoded(
    trained: Arrays, start: Arrays, precision: Precision, uniform: Uniform
) -> dict[str, NDArray[Any]]:
    """Return a merchant's answer, with `protocol.SCALES` where it is scaled.

    Args:
        trained: The new arrays, float32.
        start: What the merchant got, in any type.
        precision: Of the contract.
        uniform: By chance to which of two steps a change goes; nothing is drawn where none are scaled.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        found = {name: precision.encode(trained[name], start[name], uniform) for name in sorted(trained)}
    answer = {name: array for name, (array, _) in found.items()}
    if precision.scaled:
        answer[protocol.SCALES] = np.array([scale for _, scale in found.values()], np.float32)
    return answer


def scales_of(answer: Arrays, precision: Precision) -> dict[str, float]:
    """Return the length of a step of every array of an answer that `problem_with` accepts."""
    names = sorted(name for name in answer if name not in (protocol.SCALES, protocol.TELEMETRY))
    if not precision.scaled:
        return dict.fromkeys(names, 1.0)
    return dict(zip(names, answer[protocol.SCALES].tolist(), strict=True))


def problem_with(answer: Arrays, expected: Mapping[str, tuple[int, ...]], precision: Precision) -> str | None:
    """Return what is wrong with an answer without telemetry, or None (`protocol.problem_with`).

    Args:
        answer: What arrived, or is about to leave.
        expected: Shape of every array that the contract names.
        precision: Of the contract.
    """
    if not precision.scaled:
        return protocol.problem_with(answer, expected, precision.up)
    scales = {name: array for name, array in answer.items() if name == protocol.SCALES}
    parameters = {name: array for name, array in answer.items() if name != protocol.SCALES}
    problem = protocol.problem_with(parameters, expected, precision.up) or protocol.problem_with(
        scales, {protocol.SCALES: (len(expected),)}
    )
    if problem is None and (scales[protocol.SCALES] < 0).any():
        return f"negative {protocol.SCALES}"
    return problem


def _as_it_is(
    trained: NDArray[np.float32], start: NDArray[Any], uniform: Uniform
) -> tuple[NDArray[Any], float]:
    return trained, 1.0


def _half_change(
    trained: NDArray[np.float32], start: NDArray[Any], uniform: Uniform
) -> tuple[NDArray[Any], float]:
    return (trained - start.astype(np.float32, copy=False)).astype(np.float16), 1.0


def _whole_steps(
    trained: NDArray[np.float32], start: NDArray[Any], uniform: Uniform
) -> tuple[NDArray[Any], float]:
    """Source: Alistarh et al. (2017), section 3.1; a step is the largest change over 127."""
    moved = (trained - start.astype(np.float32, copy=False)).reshape(-1)
    scale = np.float32(np.abs(moved).max(initial=0) / np.float32(_LARGEST))
    steps = np.zeros(moved.size, np.int8)
    if scale > 0 and np.isfinite(scale):
        for first in range(0, moved.size, _BLOCK):
            part = slice(first, first + _BLOCK)
            exact = np.clip(moved[part] / scale, -_LARGEST, _LARGEST)
            below = np.floor(exact)
            steps[part] = below + (uniform(exact.size) < exact - below)
    return steps.reshape(trained.shape), float(scale)


def _difference(answer: NDArray[Any], start: NDArray[Any], scale: float, out: NDArray[np.float64]) -> None:
    np.copyto(out, answer)  # both are widened first, since to subtract across types takes longer
    out -= start.astype(np.float64)


def _scaled(answer: NDArray[Any], start: NDArray[Any], scale: float, out: NDArray[np.float64]) -> None:
    np.copyto(out, answer)
    out *= scale


def _differs(answer: NDArray[Any], start: NDArray[Any]) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = answer != start
    return different


def _is_any(answer: NDArray[Any], start: NDArray[Any]) -> NDArray[np.bool_]:
    anything: NDArray[np.bool_] = answer != 0
    return anything


_FULL, _HALF = np.dtype(np.float32), np.dtype(np.float16)

PRECISIONS: dict[str, Precision] = {
    "float32": Precision(down=_FULL, up=_FULL, encode=_as_it_is, changed=_differs, change=_difference),
    "float16": Precision(down=_HALF, up=_HALF, encode=_half_change, changed=_is_any, change=_scaled),
    "int8": Precision(
        down=_HALF,
        up=np.dtype(np.int8),
        scaled=True,
        encode=_whole_steps,
        changed=_is_any,
        change=_scaled,
    ),
}
"""Value of `federation.precision` -> how arrays travel."""
