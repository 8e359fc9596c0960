"""Arrays in the bytes in which Flower carries them, read without trust and without copies.

Numpy's own reader makes room for whatever shape a header claims, and copies. Here a header that claims more
than there is allocates nothing, and the result is a view of the bytes that arrived.
"""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import ProtocolError

_HEADER_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(name: str, data: bytes) -> NDArray[Any]:
    """Return the array in `data` as a read-only view of it.

    Raises:
        ProtocolError: The bytes are not those of one array of numbers; names the array.
    """
    try:
        stream = BytesIO(data)
        shape, fortran_order, dtype = _HEADER_READERS[npy.read_magic(stream)](stream)
        if dtype.hasobject:
            raise ValueError(dtype)
        flat = np.frombuffer(data, dtype=dtype, offset=stream.tell())
        return flat.reshape(shape, order="F" if fortran_order else "C")
    except (ValueError, KeyError, TypeError, OverflowError, MemoryError, SyntaxError, RecursionError):
        raise ProtocolError(f"unreadable array {name}") from None
