"""Plays foreign code at a merchant: tries one thing after the other and says what came of it.

`python -I -S intruder.py PROCESS FOLDER DATA SOCKET OWNER_SOCKET` prints a JSON object: the name of every
attempt -> an empty text where it succeeded, and otherwise why it did not. It needs the standard library only.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_ATTACH, _DETACH = 16, 17  # <sys/ptrace.h>


class _Part(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def attempts(
    process: int, folder: Path, data: Path, agent: Path, owner: Path
) -> Mapping[str, Callable[[], object]]:
    """Return everything to be tried, in an order in which no success spoils the next one."""
    proc = Path(f"/proc/{process}")
    return {
        "list the folder": lambda: os.listdir(folder),
        "read the data": lambda: read(data),
        "read merchant.toml": lambda: read(folder / "merchant.toml"),
        "list the state": lambda: os.listdir(folder / "state"),
        "read the journal": lambda: read(folder / "state" / "journal.jsonl"),
        "read the log": lambda: read(folder / "state" / "logs" / "agent.log"),
        "write into the folder": lambda: (folder / "mine").touch(),
        "read environ": lambda: read(proc / "environ"),
        "read maps": lambda: read(proc / "maps"),
        "read smaps_rollup": lambda: read(proc / "smaps_rollup"),
        "read auxv": lambda: read(proc / "auxv"),
        "read io": lambda: read(proc / "io"),
        "open mem": lambda: (proc / "mem").open("rb").close(),
        "list fd": lambda: os.listdir(proc / "fd"),
        "follow cwd": lambda: os.readlink(proc / "cwd"),
        "follow exe": lambda: os.readlink(proc / "exe"),
        "enter root": lambda: os.listdir(proc / "root"),
        "read its memory": lambda: read_memory(process),
        "attach to it": lambda: attach(process),
        "ask whether it takes signals": lambda: os.kill(process, 0),
        "connect to the agent's socket": lambda: connect(agent),
        "connect to the owner's socket": lambda: connect(owner),
        "list the sockets": lambda: os.listdir(agent.parent),
        "put a socket beside the agent's": lambda: listen(agent.with_name("mine.sock")),
        "open the agent's socket to all": lambda: agent.chmod(0o666),
        "move the agent's socket away": lambda: agent.rename(agent.with_name("old.sock")),
        "stop it": lambda: os.kill(process, signal.SIGTERM),
    }  # fmt: skip


def read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def attach(process: int) -> None:
    _done(_LIBC.ptrace(_ATTACH, process, 0, 0))
    os.waitpid(process, 0)
    _done(_LIBC.ptrace(_DETACH, process, 0, 0))


def read_memory(process: int) -> None:
    """Read from the place where this process has its own C library: where does not matter, only whether."""
    taken = ctypes.create_string_buffer(8)
    mine = _Part(ctypes.addressof(taken), 8)
    theirs = _Part(place_in(process), 8)
    _done(_LIBC.process_vm_readv(process, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0))


def place_in(process: int) -> int:
    """Return an address that is mapped there, as far as it can be seen; page one otherwise."""
    try:
        first = Path(f"/proc/{process}/maps").read_text().split("-", 1)[0]
    except PermissionError:
        return 4096
    return int(first, 16)


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(2.0)
        trial.connect(str(path))


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as trial:
        trial.bind(str(path))


def _done(returned: int) -> None:
    if returned < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def came_of(attempt: Callable[[], object]) -> str:
    """Return nothing where the attempt succeeded, and why it did not otherwise."""
    try:
        attempt()
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def main() -> None:
    """Try everything."""
    process, *paths = sys.argv[1:]
    tried = attempts(int(process), *map(Path, paths))
    print(json.dumps({name: came_of(attempt) for name, attempt in tried.items()}))


if __name__ == "__main__":
    main()
