"""A process that charges a ledger until it is killed, and says what the disk has. Run as a script.

It writes to its standard output, unbuffered, one line each:
    * `ready`, before the ledger is opened;
    * `folder PATH`, when that folder was flushed;
    * `file SIZE`, when so many bytes of the ledger were flushed; SIZE was taken before the flush began;
    * `charged N`, when the charge of round N was acknowledged.
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


def main(path: Path, first: int, *, durable: bool) -> None:
    """Charge the rounds from `first` on, for ever."""
    _tell("ready")
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
    main(Path(sys.argv[1]), int(sys.argv[2]), durable=sys.argv[3] == "durable")
