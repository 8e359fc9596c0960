"""Whether a reply was paid for: by a charge of that very round, in the ledger of the merchant that replied.

A charge pays for one reply. The same reply, sent again, is the same bytes and costs nothing; another one
under the same head of the ledger is a release that nobody charged.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared_model import protocol
from shared_model.privacy.ledger import Charge

from .found import Found

Line = Mapping[str, Any]
"""Of the coordinator's record (`server.wire_record`)."""


class Payments:
    """Charges, each of which pays for one reply of one merchant.

    A ledger without a merchant's file beside it belongs to the first merchant whose reply it pays for.
    """

    def __init__(self, ledgers: Sequence[Found]) -> None:
        """Index the charges of `ledgers` by the head that the ledger had after each."""
        self._charges: dict[Path, dict[str, Charge]] = {
            ledger.path: {e.head: e.charge for e in ledger.entries or () if e.charge is not None}
            for ledger in ledgers
        }
        self._owner = {ledger.path: ledger.owner.name for ledger in ledgers if ledger.owner is not None}
        self._paid: dict[tuple[Path, str], tuple[str, ...]] = {}

    def covers(self, line: Line) -> bool:
        """Whether a charge pays for the reply of `line`; from now on it pays for no other one."""
        head, digests = _head(line), _digests(line)
        for path, charges in self._charges.items():
            mine = self._owner.get(path, line["merchant"]) == line["merchant"]
            if mine and _is_for(charges.get(head), line):
                self._owner[path] = line["merchant"]
                return self._paid.setdefault((path, head), digests) == digests
        return False


def _head(line: Line) -> str:
    """Return the head of the ledger that came with a reply."""
    return str(line["records"].get(protocol.REPORT, {}).get("content", {}).get("ledger", ""))


def _digests(line: Line) -> tuple[str, ...]:
    """Return what stands for the bytes of a reply's arrays."""
    records = line["records"]
    return tuple(records[name]["digest"] for name in sorted(records) if records[name]["kind"] == "arrays")


def _is_for(charge: Charge | None, line: Line) -> bool:
    return charge is not None and (charge.lineage, charge.round) == (line["lineage"], line["round"])
