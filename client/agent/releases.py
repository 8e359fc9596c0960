"""Releases: acknowledged first, fitted afterwards.

How long a fit takes depends on how many rows there are, so nobody outside waits for one.

Guarantees (`tests/client/agent/test_releases.py`):
    * Whether and when a release is acknowledged depends on it, on earlier releases and on what the owner
      wanted, never on rows: neither on whether an earlier fit failed nor on whether it has ended.
    * One that was acknowledged is fitted, after a restart too, unless the fit itself fails; that is noted for
      the owner.
    * Through the node's socket no release comes back that another one replaced.
    * A release that is sent again is not fitted anew.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from shared_model.errors import Refused
from shared_model.protocol import Instruction, Refusal, SharedArrays

from .inbox import Inbox
from .record import Record, evidence

Later = Callable[[Instruction, Callable[[], None]], None]
"""`later(instruction, work)` does the work when it is its turn."""


_REPLACED = "this release was there before and another replaced it; `fedbazaar-client adopt` goes back"


class Adopting(Protocol):
    """What releases need of a merchant (`client.merchant.Merchant`)."""

    def check_release(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Refuse what is no release of the contract; rows have no say."""

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> Mapping[str, Any]:
        """Take over released parameters and return what is served per task."""


class Releases:
    """The releases of one merchant; methods may be called from any thread."""

    def __init__(self, merchant: Adopting, record: Record, inbox: Inbox, later: Later) -> None:
        """Take up the release that an earlier process acknowledged.

        Raises:
            StateError: It is damaged.
        """
        self._merchant, self._record, self._inbox, self._later = merchant, record, inbox, later
        self._order = _order(record.lines())
        self._latest: Instruction | None = None
        self._lock = threading.Lock()
        if waiting := inbox.waiting():
            self._latest = waiting[0]
            if self._order[-1:] != [waiting[0].digest]:
                self._received(waiting[0])  # the process before ended when it was about to
            self._fit_later(*waiting)

    def receive(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Keep a release on the disk, to be fitted later; the acknowledgement may then leave.

        Raises:
            Refused: It is no release of the contract, or another one replaced it: whoever holds the node's
                socket may have kept it.
            OSError: The disk is full or not writable.
        """
        with self._lock:
            if self._was_replaced(instruction.digest):
                raise Refused(Refusal.ROUND, _REPLACED)
            if instruction == self._latest:
                return
            self._merchant.check_release(instruction, arrays)
            self._inbox.put(instruction, arrays)
            self._received(instruction)
            self._latest = instruction
            self._fit_later(instruction, arrays)

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Adopt now what the owner wants, in the place of all others (errors as in `Merchant.adopt`).

        One that found no room before is not tried again at the next start.
        """
        with self._lock:
            waiting = self._inbox.waiting()
            self._received(instruction)
            self._latest = instruction
        self._adopt(instruction, arrays)
        if waiting is not None:
            self._inbox.forget(waiting[0])

    def _received(self, instruction: Instruction) -> None:
        """Note that a release is the latest one, before anything is known of how it fits."""
        facts = {"lineage": instruction.lineage, "round": instruction.round, "digest": instruction.digest}
        self._record.note("received", **facts)
        self._order.append(instruction.digest)

    def _adopt(self, instruction: Instruction, arrays: SharedArrays) -> None:
        accepted = self._merchant.adopt(instruction, arrays)
        self._record.note(
            "adopted",
            lineage=instruction.lineage,
            round=instruction.round,
            digest=instruction.digest,
            tasks=evidence(accepted),
        )

    def _fit_later(self, instruction: Instruction, arrays: SharedArrays) -> None:
        self._later(instruction, lambda: self._fit(instruction, arrays))

    def _fit(self, instruction: Instruction, arrays: SharedArrays) -> None:
        """Adopt what was acknowledged; where the disk is full it is kept, and the next start tries again."""
        try:
            self._adopt(instruction, arrays)
        except Exception as error:
            self._record.refuse("adopt", error, instruction)
            if isinstance(error, OSError):
                return
        self._inbox.forget(instruction)

    def _was_replaced(self, digest: str) -> bool:
        """Whether it was the latest one before and something else came after it."""
        return digest in self._order and digest != self._order[-1]


def _order(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the digests of releases in the order in which they came; older journals tell adoptions alone."""
    order: list[str] = []
    for line in lines:
        if line["event"] == "received" or (line["event"] == "adopted" and line["digest"] not in order):
            order.append(line["digest"])
    return order
