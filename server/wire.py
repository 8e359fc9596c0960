"""Between numpy arrays and Flower's array records.

Decoding is done here rather than by `flwr.app.Array.numpy`, for two reasons: a header that claims a huge
shape allocates nothing, and the result is a view of the bytes that arrived instead of a copy.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.lib import format as npy
from numpy.typing import NDArray

from shared_model.errors import ProtocolError
from shared_model.protocol import SharedArrays

_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NUMPY_BYTES = "numpy.ndarray"


def pack(arrays: Mapping[str, NDArray[np.float32]]) -> ArrayRecord:
    """Return `arrays` as the record that travels."""
    return ArrayRecord({name: Array(np.ascontiguousarray(array)) for name, array in arrays.items()})


def unpack(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """Return the arrays of a record as read-only views of its bytes.

    Raises:
        ProtocolError: The bytes of an array are not those of one numpy array; names the array.
    """
    return {name: _decoded(name, array) for name, array in record.items()}


def rounded(arrays: Mapping[str, NDArray[np.float64]]) -> SharedArrays:
    """Return `arrays` in the type that travels, float32; too large numbers become infinite."""
    with np.errstate(over="ignore"):
        return {name: array.astype(np.float32) for name, array in arrays.items()}


def _decoded(name: str, array: Array) -> NDArray[Any]:
    try:
        if array.stype != _NUMPY_BYTES:
            raise ValueError(array.stype)
        stream = BytesIO(array.data)
        shape, fortran_order, dtype = _HEADER_READERS[npy.read_magic(stream)](stream)
        if dtype.hasobject:
            raise ValueError(dtype)
        flat = np.frombuffer(array.data, dtype=dtype, offset=stream.tell())
        return flat.reshape(shape, order="F" if fortran_order else "C")
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError, SyntaxError, RecursionError):
        raise ProtocolError(f"unreadable array {name}") from None
