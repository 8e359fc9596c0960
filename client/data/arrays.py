"""Arrays on disk that grow while they are written and are memory-mapped when they are read.

A folder of `.npy` files becomes visible all at once: it is built under a temporary name and renamed.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

Array = NDArray[Any]

CHUNK = 500_000
"""So many rows of an array on disk are worked on at a time."""


def chunks(rows: int) -> Iterator[slice]:
    """Yield slices that cover `rows` rows in their order.

    >>> [(part.start, part.stop) for part in chunks(1_200_000)]
    [(0, 500000), (500000, 1000000), (1000000, 1200000)]
    """
    for start in range(0, rows, CHUNK):
        yield slice(start, min(start + CHUNK, rows))


class Growing:
    """One `.npy` file to which rows are appended; nothing is kept in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._form: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        self.rows = 0

    def append(self, rows: Array) -> None:
        """Append rows, shape (B, ...); all of one dtype and one shape after the first axis."""
        if self._form is None:
            self._form = (rows.dtype, rows.shape[1:])
            self._write_header()
        if self._form != (rows.dtype, rows.shape[1:]):
            raise ValueError(f"Expected rows of {self._form}, got {(rows.dtype, rows.shape[1:])}.")
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self.rows += len(rows)

    def close(self) -> None:
        """Write the final number of rows into the header."""
        if self._form is not None:
            self._file.seek(0)
            self._write_header()

    def _write_header(self) -> None:
        """NumPy pads a header so that the first axis may grow in place."""
        assert self._form is not None
        dtype, shape = self._form
        header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": (self.rows, *shape)}
        npy.write_array_header_1_0(self._file, header)


class GrowingFolder:
    """Growing arrays of equally many rows, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = ExitStack()
        self._arrays: dict[str, Growing] = {}

    def append(self, arrays: Mapping[str, Array]) -> None:
        """Append the same rows to every array; the first call decides which arrays there are."""
        if not self._arrays:
            self._arrays = {name: Growing(self._open(name)) for name in arrays}
        for name, rows in arrays.items():
            self._arrays[name].append(rows)

    def _open(self, name: str) -> BinaryIO:
        return self._files.enter_context((self._folder / f"{name}.npy").open("wb"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._files:
            if error is None:
                for array in self._arrays.values():
                    array.close()


def save(folder: Path, arrays: Mapping[str, Array]) -> None:
    """Write whole arrays, each replacing the file of its name."""
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def load(folder: Path, name: str) -> Array:
    """Return an array memory-mapped and read-only."""
    array: Array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return array


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; rename it to `folder` when the block ends well, remove it otherwise.

    Where another process has made `folder` in the meantime, that one stays. Temporary folders of processes
    that were killed are removed.

    Raises:
        OSError: The disk is full or not writable; there is no `folder`.
    """
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(folder.parent)
    temporary = folder.parent / f".{folder.name}.{os.getpid()}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        if not folder.exists():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(parent: Path) -> None:
    for left in parent.glob(".*.tmp"):
        owner = left.name.removesuffix(".tmp").rpartition(".")[2]
        if owner == str(os.getpid()) or not Path(f"/proc/{owner}").exists():
            shutil.rmtree(left, ignore_errors=True)
