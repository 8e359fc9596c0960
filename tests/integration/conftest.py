"""A disk that a test can fill."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A folder on a disk of one megabyte.

    Attributes:
        folder: On the disk.
        fill: Leaves not a byte free.
        free: Makes room again.
    """

    folder: Path
    fill: Callable[[], object]
    free: Callable[[], object]


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Disk]]:
    """Put a folder on a small disk of its own: a real one where mounting is allowed, else a pretended one."""
    mounted: list[Path] = []

    def put(folder: Path) -> Disk:
        folder.mkdir(parents=True)
        if _mounts(folder):
            mounted.append(folder)
            ballast = folder / "ballast"
            return Disk(folder, lambda: _fill(ballast), ballast.unlink)
        full: list[Path] = []
        monkeypatch.setattr(os, "replace", _refusing(full, os.replace))
        return Disk(folder, lambda: full.append(folder), full.clear)

    yield put
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _mounts(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    return os.geteuid() == 0 and not subprocess.run(command, capture_output=True, check=False).returncode


def _fill(ballast: Path) -> None:
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC


def _refusing(full: list[Path], replace: Callable[..., None]) -> Callable[..., None]:
    def refuse(source: Path, target: Path) -> None:
        if any(folder in target.parents for folder in full):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    return refuse
