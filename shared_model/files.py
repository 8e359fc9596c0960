"""Files that are either wholly there or not there at all.

Guarantees:
    A reader never sees a half-written file, not after a crash and not after a full disk: the bytes go to
    a temporary neighbour, are flushed to the disk, and the neighbour is renamed over the target.
    (`tests/shared_model/test_files.py`)
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import StateError

_KINDS = {
    np.dtype(kind): name
    for kind, name in {
        "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16",
        "int8": "I8", "uint8": "U8", "bool": "BOOL",
    }.items()
}  # fmt: skip
"""Type of numbers -> what a safetensors file calls it."""


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block ends well.

    Args:
        path: The file to create or replace; its folder is made when missing.
        durable: Flush the file before the rename and its folder after it, so that the file survives a
            power cut. Without it the file survives a killed process only.

    Raises:
        OSError: The disk is full or not writable; `path` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace the file at `path` by `content`, wholly or not at all (see `replacing`)."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], *, durable: bool = True
) -> None:
    """Replace `path` by a safetensors file, wholly or not at all, without a copy of the tensors."""
    found = {name: np.asarray(t.detach().cpu().numpy(), order="C") for name, t in tensors.items()}
    largest_first = sorted(found, key=lambda name: (-found[name].itemsize, name))  # so that all are aligned
    arrays = {name: found[name] for name in largest_first}
    with replacing(path, durable=durable) as temporary, temporary.open("wb") as file:
        file.write(_header(arrays, metadata))
        for array in arrays.values():
            file.write(array.reshape(-1).view(np.uint8).data)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

    Raises:
        FileNotFoundError: There is no such file.
        StateError: The file is not a whole safetensors file.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise StateError(
            f"{path} is damaged ({error}). Restore it from a copy, or remove it to start afresh."
        ) from error


def mapped(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Return arrays of a file that `write_tensors` wrote, as they lie in it.

    Numbers are read when they are looked at and then take no memory of the process that the system could not
    take back. The file may be removed or replaced meanwhile, but must not be written to.
    """
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        described = json.loads(file.read(size))
    kinds, found = {name: kind for kind, name in _KINDS.items()}, {}
    for name in names:
        told = described[name]
        offset = 8 + size + told["data_offsets"][0]
        shape = tuple(told["shape"])
        found[name] = np.asarray(np.memmap(path, kinds[told["dtype"]], "c", offset, shape))
    return found


def _header(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return what stands before the numbers of a safetensors file, which follow one another in this order.

    Source: the description of the format, https://github.com/huggingface/safetensors.
    """
    described: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        kind = _KINDS[array.dtype]
        described[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
