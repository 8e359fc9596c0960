"""An append-only file of JSON lines, each chained to the one before it by a hash.

Guarantees:
    * A line that `append` returned from survives a killed process, and with `durable` a power cut.
    * A line cut short by a crash is dropped at the next opening, and so is one of which only the end reached
      the disk; it was never acknowledged.
    * A line changed, removed or inserted afterwards is found by `read`; of lines removed at the end only
      `head` tells, to whoever kept it.
    (`tests/shared_model/test_journal.py`)
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from .errors import StateError

_GENESIS = "0" * 64
_ENCODER = json.JSONEncoder(sort_keys=True)


class Journal:
    """An open journal; a context manager. One writer at a time, which `exclusive` enforces."""

    def __init__(self, path: Path, *, durable: bool = False, exclusive: bool = False) -> None:
        """Open `path` for appending, creating it when missing.

        Args:
            path: The file.
            durable: Flush every line to the disk before `append` returns, and the folders above the file
                before its first line.
            exclusive: Lock the file until it is closed; the lock goes with the process, however that ends.

        Raises:
            StateError: The chain is broken, or another writer holds the lock.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._durable = durable
        self._head, whole = _GENESIS, 0
        self._file = path.open("ab", buffering=0)  # a line that failed must not wait in a buffer
        try:
            if exclusive:
                _lock(self._file.fileno(), path)
            for line, size in _lines(path):
                self._head, whole = line["hash"], size
            if durable and not whole:  # somebody may have been killed between making the file and here
                _flush_folders(path)
        except BaseException:
            self._file.close()
            raise
        self._file.truncate(whole)
        self._size = whole

    def append(self, event: str, **facts: Any) -> None:
        """Write one line: the name of the event and what is known about it (JSON values).

        Raises:
            OSError: The disk is full; the journal ends with the line before.
        """
        body = _ENCODER.encode({"event": event, **facts})
        head = _chained(self._head, body)
        line = f'{body[:-1]}, "hash": "{head}"}}\n'.encode()
        try:
            self._written(line)
        except OSError:
            os.ftruncate(self._file.fileno(), self._size)
            raise
        self._head = head
        self._size += len(line)

    @property
    def head(self) -> str:
        """Hash of the last line: whoever keeps it notices when the journal is rolled back."""
        return self._head

    def _written(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:  # a nearly full disk takes a part first, and raises at the next one
            rest = rest[self._file.write(rest) :]
        if self._durable:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal, oldest first, without their hashes.

    Raises:
        StateError: A line does not follow from the one before it.
    """
    return [line for _, line in read_chain(path)]


def read_chain(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the lines of a journal as `read` does, each with the head that the journal had after it."""
    return [(line["hash"], {k: v for k, v in line.items() if k != "hash"}) for line, _ in _lines(path)]


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each whole line and the offset at which it ends; check the chain on the way."""
    head, offset = _GENESIS, 0
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n") or (b"\0" in raw and not file.peek(1)):
                return  # cut short by a crash, or a part of it never reached the disk; not acknowledged
            offset += len(raw)
            try:
                line = json.loads(raw)
                body = {k: v for k, v in line.items() if k != "hash"}
                sound = line["hash"] == _chained(head, _ENCODER.encode(body))
            except (ValueError, KeyError, AttributeError):
                sound = False
            if not sound:
                raise StateError(
                    f"{path} line {number} does not follow from the line before it: it was changed."
                )
            head = line["hash"]
            yield line, offset


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(f"{path} is being written by another process. Stop that one first.") from None


def _flush_folders(path: Path) -> None:
    """Flush every folder above `path` that may be opened, so that the file's name is on the disk too."""
    for folder in path.absolute().parents:
        with suppress(PermissionError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _chained(head: str, body: str) -> str:
    return hashlib.sha256(f"{head}{body}".encode()).hexdigest()
