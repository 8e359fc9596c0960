"""Processes that charge a ledger until they are killed, and say what the disk has. Run as a script.

The script imports once and then forks: for every number on its standard input a process that charges the
rounds from that number on. To standard output goes, unbuffered, a line each:
    * `ready PID`, before the process opens the ledger;
    * `folder PATH`, when that folder was flushed;
    * `file SIZE`, when so many bytes of the ledger were flushed; SIZE was taken before the flush began;
    * `charged N`, when the charge of round N was acknowledged;
    * `over`, when the process was killed.
"""

import os
import stat
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Charge, Ledger, Limit

FINGERPRINT = "power-cut"


def charge(number: int) -> Charge:
    """Return the charge of round `number`: so cheap that the killer comes before the end of the budget."""
    return Charge(
        fingerprint=FINGERPRINT,
        lineage="power-cut",
        round=number,
        what="round",
        digest=f"{number:064x}",
        unit="shopper",
        events=(PrivacyEvent(sampling_rate=1.0, noise_multiplier=1e4),),
    )


def main(path: Path, *, durable: bool) -> None:
    """Fork a process for every number on the standard input, one after the other."""
    for line in sys.stdin:
        if not (child := os.fork()):
            _charge_for_ever(path, int(line), durable=durable)
        os.waitpid(child, 0)
        _tell("over")


def _charge_for_ever(path: Path, first: int, *, durable: bool) -> None:
    _tell(f"ready {os.getpid()}")
    os.fsync = _telling(os.fsync)  # type: ignore[assignment]
    limits = (Limit(8.0, 1e-6, FINGERPRINT), Limit(8.0, 1e-6))
    with Ledger(path, durable=durable) as ledger:
        for number in count(first):
            ledger.charge(charge(number), limits)
            _tell(f"charged {number}")


def _telling(flush: Callable[[int], None]) -> Callable[[int], None]:
    def telling(handle: int) -> None:
        before = os.fstat(handle)
        flush(handle)
        if stat.S_ISDIR(before.st_mode):
            _tell(f"folder {os.readlink(f'/proc/self/fd/{handle}')}")
        else:
            _tell(f"file {before.st_size}")

    return telling


def _tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), durable=sys.argv[2] == "durable")
