"""A process that protects nothing: `python victim.py FOLDER` makes files and sockets there, and waits."""

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

_SET_PTRACER, _ANY = (
    0x59616D61,
    ctypes.c_ulong(-1),
)  # <linux/prctl.h>; refused where no module restricts tracing


def main(folder: Path) -> None:
    """Lie open."""
    for place in (folder / "state" / "logs", folder / "sockets"):
        place.mkdir(parents=True)
    for name in ("examples.parquet", "merchant.toml", "state/journal.jsonl", "state/logs/agent.log"):
        (folder / name).write_text("open to its own user")
    listening = [listener(folder / "sockets" / "agent.sock"), listener(folder / "state" / "owner.sock")]
    ctypes.CDLL(None).prctl(_SET_PTRACER, _ANY, 0, 0, 0)
    print(os.getpid(), flush=True)
    while listening:
        signal.pause()


def listener(path: Path) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX)
    opened.bind(str(path))
    opened.listen()
    return opened


if __name__ == "__main__":
    main(Path(sys.argv[1]))
