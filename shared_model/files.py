"""Files that are either wholly there or not there at all.

Guarantees:
    A reader never sees a half-written file, not after a crash and not after a full disk: the bytes go to
    a temporary neighbour, are flushed to the disk, and the neighbour is renamed over the target.
    (`tests/shared_model/test_files.py`)
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .errors import StateError


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
    """Replace `path` by a safetensors file, wholly or not at all."""
    write(
        path, save({name: t.detach().contiguous() for name, t in tensors.items()}, metadata), durable=durable
    )


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


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
