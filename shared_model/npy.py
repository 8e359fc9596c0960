"""Arrays in the bytes in which Flower carries them, read without trust and without copies.

Numpy's own reader makes room for whatever shape a header claims, and copies. Here a header that claims more
than there is allocates nothing, and the result is a view of the bytes that arrived.

A header is a Python literal, and reading or making one takes longer than all else that is done with a small
array. The arrays of a training have the same few headers in every message, so both are remembered.
"""

import math
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import ProtocolError

_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

_REMEMBERED = 1024
"""So many headers are kept; a model has one for each shape."""

_LONGEST = 1024
"""Longer headers, in bytes, are none of numbers and are not kept."""


class _Header(NamedTuple):
    """What stands before the numbers of an array, and how many bytes it takes."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    size: int


def read(name: str, data: bytes) -> NDArray[Any]:
    """Return the array in `data` as a read-only view of it.

    Raises:
        ProtocolError: The bytes are not those of one array of numbers; names the array.
    """
    try:
        shape, fortran_order, dtype, size = _header(data)
        flat = np.frombuffer(data, dtype=dtype, offset=size)
        return flat.reshape(shape, order="F" if fortran_order else "C")
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError, SyntaxError, RecursionError):
        raise ProtocolError(f"unreadable array {name}") from None


def write(array: NDArray[Any]) -> bytes:
    """Return the bytes in which Flower carries an array of numbers: those of `numpy.save`, in row order."""
    numbers = np.asarray(array, order="C")
    return b"".join((_written_header(numbers.dtype, numbers.shape), numbers.data))


def size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return how many bytes `write` makes of an array."""
    return len(_written_header(dtype, shape)) + math.prod(shape) * dtype.itemsize


@lru_cache(maxsize=64)
def type_name(dtype: np.dtype[Any]) -> str:
    """Return what Flower calls a type of numbers.

    >>> type_name(np.dtype("<f4"))
    'float32'
    """
    return str(dtype)


def _header(data: bytes) -> _Header:
    if data[:8] == b"\x93NUMPY\x01\x00":
        end = 10 + int.from_bytes(data[8:10], "little")
        if end <= _LONGEST:
            return _read_header(data[:end])
    return _read_header.__wrapped__(data)


@lru_cache(maxsize=_REMEMBERED)
def _read_header(data: bytes) -> _Header:
    stream = BytesIO(data)
    shape, fortran_order, dtype = _HEADER_READERS[npy.read_magic(stream)](stream)
    if dtype.kind not in "biufc":
        raise ValueError(dtype)
    return _Header(shape, fortran_order, dtype, stream.tell())


@lru_cache(maxsize=_REMEMBERED)
def _written_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    stream = BytesIO()
    described = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(stream, described)
    return stream.getvalue()
