"""Between numpy arrays and Flower's array records (`shared_model.npy` says why not by `Array.numpy`)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord
from numpy.typing import NDArray

from shared_model import npy, precision
from shared_model.errors import ProtocolError
from shared_model.precision import PRECISIONS
from shared_model.protocol import SharedArrays

_NUMPY_BYTES = "numpy.ndarray"


def pack(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Return `arrays` as the record that travels."""
    return record(arrays, {name: npy.write(array) for name, array in arrays.items()})


def record(arrays: Mapping[str, NDArray[Any]], written: Mapping[str, bytes]) -> ArrayRecord:
    """Return the record of `arrays` whose bytes are known; array by array, as Flower's constructor copies."""
    made = ArrayRecord()
    for name, array in arrays.items():
        made[name] = Array(npy.type_name(array.dtype), array.shape, _NUMPY_BYTES, written[name])
    return made


def unpack(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """Return the arrays of a record as read-only views of its bytes.

    Raises:
        ProtocolError: The bytes of an array are not those of one numpy array; names the array.
    """
    return {name: _decoded(name, array) for name, array in record.items()}


def rounded(arrays: Mapping[str, NDArray[np.float64]]) -> SharedArrays:
    """Return `arrays` in the type that travels, float32; too large numbers become infinite."""
    return precision.rounded(arrays, PRECISIONS["float32"])


def _decoded(name: str, array: Array) -> NDArray[Any]:
    if array.stype != _NUMPY_BYTES:
        raise ProtocolError(f"unreadable array {name}")
    return npy.read(name, array.data)
