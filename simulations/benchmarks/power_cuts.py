"""Whether a ledger forgets a charge that it acknowledged, when its process dies with the power.

What is real: the process, its files, and SIGKILL at a random instant. What is modelled: the power cut,
since a killed process loses nothing that the kernel has. After every kill the ledger becomes what a disk
might hold:

    * every byte that was flushed (fsync had returned before the kill);
    * of the bytes after those any number, each 512-byte sector either written or still zero;
    * no file at all, if the folder was not flushed since the file was made.

Not modelled: a disk that says it flushed and did not, and a file system that damages flushed data when it
is written again next to it.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared_model.privacy.ledger import read_charges

from . import charging

_SECTOR = 512


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What many kills did.

    Attributes:
        kills: So many processes were killed.
        acknowledged: Charges that were acknowledged ...
        lost: ... and are not in the ledger after a power cut.
        torn: Power cuts that left a part of a line behind.
    """

    kills: int
    acknowledged: int
    lost: int
    torn: int


def cut_power(
    path: Path, *, kills: int, rng: random.Random, longest_seconds: float = 0.12, durable: bool = True
) -> Outcome:
    """Let processes charge the ledger at `path`, one after the other, and kill each at a random instant.

    Args:
        path: Of the ledger; its folder exists.
        kills: So many processes.
        rng: Says when they die and what the disk has of what was not flushed.
        longest_seconds: From a process's being ready to its death, at most. In the default it opens the
            ledger and charges a few times.
        durable: Given to the ledger; False shows that the model finds what is lost.

    Raises:
        StateError: A power cut left a ledger that can no longer be opened.
    """
    acknowledged: set[int] = set()
    lost: set[int] = set()
    disk, torn = _Disk(), 0
    with _charging(path, durable=durable) as source:
        for _ in range(kills):
            first = max(acknowledged, default=0) + 1
            lines = _killed(source, first, rng.uniform(0, longest_seconds))
            disk.listen(path, lines)
            torn += disk.cut(path, rng)
            acknowledged |= {int(line.split()[1]) for line in lines if line.startswith("charged ")}
            lost |= acknowledged - {charge.round for charge in read_charges(path)}
    return Outcome(kills=kills, acknowledged=len(acknowledged), lost=len(lost), torn=torn)


@dataclass
class _Disk:
    """What the disk has for certain: so many bytes of the ledger, and whether its name is in the folder."""

    flushed: int = 0
    named: bool = False

    def listen(self, path: Path, lines: list[str]) -> None:
        """Learn from what a process said."""
        self.named = self.named or f"folder {path.parent}\n" in lines
        sizes = [int(line.split()[1]) for line in lines if line.startswith("file ")]
        self.flushed = max([self.flushed, *sizes])

    def cut(self, path: Path, rng: random.Random) -> bool:
        """Leave of the ledger what the disk might have, and return whether some of a line is among it."""
        if not self.named:
            self.flushed = 0
            path.unlink(missing_ok=True)
            return False
        content = path.read_bytes()
        survived = content[: self.flushed] + _partly(content[self.flushed :], self.flushed, rng)
        path.write_bytes(survived)
        return len(survived) > self.flushed and survived != content


@contextmanager
def _charging(path: Path, *, durable: bool) -> Iterator["subprocess.Popen[str]"]:
    """Start the script that starts the processes, and end it."""
    command = [sys.executable, charging.__file__, str(path), "durable" if durable else "careless"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as source:
        yield source
        source.communicate()


def _killed(source: "subprocess.Popen[str]", first: int, seconds: float) -> list[str]:
    """Have a process charge, kill it so many seconds after it was ready, and return what it said."""
    if source.stdin is None or source.stdout is None:
        raise TypeError("Expected a process with pipes.")
    source.stdin.write(f"{first}\n")
    source.stdin.flush()
    _, process = source.stdout.readline().split()
    time.sleep(seconds)
    os.kill(int(process), signal.SIGKILL)
    return list(iter(source.stdout.readline, "over\n"))


def _partly(rest: bytes, offset: int, rng: random.Random) -> bytes:
    """Return a random part of bytes that were never flushed, which lie at `offset` of their file."""
    rest = rest[: rng.randint(0, len(rest))]
    pieces, at = [], 0
    while at < len(rest):
        size = _SECTOR - (offset + at) % _SECTOR
        piece = rest[at : at + size]
        pieces.append(piece if rng.random() < 0.5 else bytes(len(piece)))
        at += size
    return b"".join(pieces)
