"""What was released about a merchant's shoppers, on disk before it is released.

A file of JSON lines, each chained to the one before it. A line holds events, never an epsilon, and a random
nonce, so that a head, which a coordinator keeps, says nothing about what the lines say.

Guarantees:
    * `Ledger.charge` returns after its line is on the disk: no crash and no power cut forgets a release that
      it was returned for. What was charged and then not released stays charged.
    * Nothing is written, and so nothing may be released, where a limit would be exceeded.
    * One writer; a line that was changed, removed or inserted is found at the next opening; an older copy of
      the whole file is found by whoever kept a head (`Ledger.holds`).
    (`tests/shared_model/privacy/test_ledger.py`, `tests/simulations/test_power_cuts.py`)
"""

import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from shared_model.errors import BudgetExhausted, StateError, UnaccountedRelease
from shared_model.journal import Journal, read_chain

from . import limits as counting
from .charges import Charge
from .limits import Limit

__all__ = ["Charge", "Entry", "Ledger", "Limit", "read_charges", "read_entries"]

_CHARGE, _NOTE = "charge", "note"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a ledger.

    Attributes:
        time: When it was written, ISO 8601, UTC.
        charge: What was released; None where nothing was.
        reason: Why a note costs nothing; empty for a charge.
        head: Of the ledger after this line.
    """

    time: str
    charge: Charge | None
    reason: str
    head: str


class Ledger:
    """An open ledger; a context manager, usable from any thread."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        """Open the ledger at `path`, creating it when missing.

        Args:
            path: The file.
            durable: Wait for the disk at every charge. Without it a power cut can forget releases: for
                simulations only.

        Raises:
            UnaccountedRelease: It was changed, is another version's, or is in use by another process.
        """
        self.path = path
        self._lock = threading.Lock()
        try:
            self._journal = Journal(path, durable=durable, exclusive=True)
            try:
                self._entries = read_entries(path)
            except BaseException:
                self._journal.close()
                raise
        except (StateError, OSError) as error:
            raise UnaccountedRelease(
                f"The privacy ledger cannot be used, nothing is released: {error}"
            ) from error
        self._heads = {entry.head for entry in self._entries}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All lines, oldest first."""
        return tuple(self._entries)

    @property
    def charges(self) -> tuple[Charge, ...]:
        """All charges, oldest first; a release that was charged twice is there twice."""
        return _charges(self._entries)

    @property
    def head(self) -> str:
        """Hash of the last line, empty for an empty ledger. It says nothing about the lines."""
        return self._entries[-1].head if self._entries else ""

    def holds(self, head: str) -> bool:
        """Whether the ledger once had this head; if not, it is older than the head, or another one."""
        return not head or head in self._heads

    def spent(self, limit: Limit) -> float:
        """Return the epsilon that has been spent of a limit (`limits.spent`)."""
        return counting.spent(self.charges, limit)

    def affordable(self, charge: Charge, limits: Iterable[Limit]) -> int:
        """Return how many more times `charge` fits all limits, counted up to `limits.MOST`."""
        return counting.repetitions(self.charges, charge, limits)

    def charge(self, charge: Charge, limits: Iterable[Limit]) -> None:
        """Write a charge to the disk; only then may the release happen.

        The same charge again is a second one: whether an answer is the old one is for the caller to know.

        Args:
            charge: What will be released.
            limits: All of them must hold afterwards.

        Raises:
            BudgetExhausted: A limit would be exceeded; nothing was written.
            UnaccountedRelease: There is no limit, or the line could not be written.
        """
        limits = tuple(limits)
        if not limits:
            raise UnaccountedRelease("A charge without a limit was asked for; nothing is released.")
        with self._lock:
            for limit in limits:
                if not counting.fits(self.charges, charge, limit):
                    raise BudgetExhausted(_exhausted(self.charges, charge, limit))
            self._write(_CHARGE, charge=charge.to_mapping())

    def note(self, reason: str) -> None:
        """Write down work that releases nothing and so costs nothing, and why.

        Raises:
            UnaccountedRelease: The line could not be written.
        """
        with self._lock:
            self._write(_NOTE, reason=reason)

    def _write(self, event: str, **facts: Any) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "nonce": secrets.token_hex(16),
            **facts,
        }
        try:
            self._journal.append(event, **line)
        except OSError as error:
            raise UnaccountedRelease(
                f"{self.path} takes no more lines, nothing is released: {error}"
            ) from error
        self._entries.append(_entry(self._journal.head, {"event": event, **line}))
        self._heads.add(self._journal.head)

    def close(self) -> None:
        """Close the file and let others write."""
        self._journal.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_entries(path: Path) -> list[Entry]:
    """Return all lines of a ledger, oldest first, without taking its lock; none where there is no file.

    Raises:
        StateError: A line was changed, or was written by another version.
    """
    try:
        return [_entry(head, line) for head, line in read_chain(path)]
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"{path} is no ledger of this version: {error}") from error


def read_charges(path: Path) -> tuple[Charge, ...]:
    """Return the charges of a ledger, oldest first, without taking its lock (errors as in `read_entries`)."""
    return _charges(read_entries(path))


def spent_by_contract(charges: Iterable[Charge], delta: float) -> dict[str, float]:
    """Return the epsilon spent under each contract, by its fingerprint, oldest first."""
    charges = tuple(charges)
    contracts = dict.fromkeys(charge.fingerprint for charge in charges)
    return {print_: counting.spent(charges, Limit(0.0, delta, print_)) for print_ in contracts}


def _entry(head: str, line: Mapping[str, Any]) -> Entry:
    charge = Charge.from_mapping(line["charge"]) if line["event"] == _CHARGE else None
    return Entry(time=line["time"], charge=charge, reason="" if charge else line["reason"], head=head)


def _charges(entries: Iterable[Entry]) -> tuple[Charge, ...]:
    return tuple(entry.charge for entry in entries if entry.charge is not None)


def _exhausted(charges: tuple[Charge, ...], charge: Charge, limit: Limit) -> str:
    """Return what a merchant reads when its budget is spent."""
    found = counting.units((*charges, charge), limit)
    if len(found) > 1:
        return (
            f"Round {charge.round} ({charge.what}) does not fit {limit}: it protects one {charge.unit}, the "
            f"ledger holds releases of the units {' and '.join(found)}, and no epsilon holds for both. "
            "Nothing was released. A merchant's own cap can stand over contracts of one unit only."
        )
    before, after = counting.spent(charges, limit), counting.spent((*charges, charge), limit)
    way_out = (
        "raise `[privacy] max_epsilon` in merchant.toml if the shoppers may be protected less"
        if limit.fingerprint is None
        else "a new contract has a budget of its own, but the same shoppers"
    )
    return (
        f"Round {charge.round} ({charge.what}) does not fit {limit}: {before:.4g} is spent and it would "
        f"become {after:.4g}. Nothing was released. This merchant's part in the training is over; {way_out}."
    )
