"""What is refused before the merchant sees it.

`client.merchant.Merchant` refuses the rest: rounds that were never planned, that lie behind or that do not
follow from its own answers, arrays that are not finite, and the same round with other arrays.

Guarantees (`tests/client/agent/test_guard.py`):
    * The signature is looked at first, so that a caller without one learns nothing but that.
    * A new round never begins sooner after the one before than the contract's pace, not after a restart
      either; asking again for the last round is never too soon.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared_model import protocol, signing
from shared_model.errors import Refused, VersionMismatch
from shared_model.precision import PRECISIONS
from shared_model.protocol import Instruction, Kind, Refusal
from shared_model.row_blocks import WHOLE, Schedule, shapes_in

from . import wire


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the contract says about questions to one merchant.

    Attributes:
        merchant: Name under which it is enrolled.
        fingerprint: Of the contract.
        coordinator_key: Whoever holds the private half may ask.
        pace_seconds: From the begin of one round to that of the next, at least.
        shapes: Of the arrays that travel, by name.
        precision: Type of them during training.
        schedule: Which rows of big tables travel in which round.
        answer_seconds: An answer to a round leaves at a whole multiple of it after the question; 0: at once.
    """

    merchant: str
    fingerprint: str
    coordinator_key: str
    pace_seconds: float
    shapes: Mapping[str, tuple[int, ...]]
    precision: str = "float32"
    schedule: Schedule = WHOLE
    answer_seconds: float = 0.0

    def layout(self, kind: Kind, round_number: int) -> wire.Layout:
        """Return what comes after an instruction: released parameters are always whole and float32."""
        dtypes: dict[Kind, np.dtype[Any]] = {
            "train": PRECISIONS[self.precision].down,
            "adopt": PRECISIONS["float32"].down,
        }
        rows = self.schedule.rows(round_number) if kind == "train" else {}
        return wire.layout(shapes_in(self.shapes, rows), dtypes[kind])


def check(instruction: Instruction, kind: Kind, terms: Terms) -> None:
    """Require an instruction of the coordinator, to this merchant, for this purpose.

    Raises:
        Refused: `SIGNATURE` or `RECIPIENT`.
        VersionMismatch: It is signed, but of another version of the wire contract.
        FingerprintMismatch: It belongs to another contract.
    """
    signing.check(instruction, terms.coordinator_key)
    if instruction.version != protocol.VERSION:
        raise VersionMismatch(
            f"the instruction speaks version {instruction.version}, the agent {protocol.VERSION}"
        )
    instruction.check_fingerprint(terms.fingerprint)
    if instruction.kind != kind:
        raise Refused(Refusal.RECIPIENT, f"an instruction to {instruction.kind} asks for no {kind}")
    meant = {"train": terms.merchant, "adopt": ""}[kind]
    if instruction.merchant != meant:
        raise Refused(Refusal.RECIPIENT, _meant_for(instruction.merchant, kind, terms.merchant))


def _meant_for(whom: str, kind: Kind, own: str) -> str:
    """Say whom an instruction is for; the likeliest cause is a name that differs from the enrolled one."""
    if not whom or kind != "train":
        return f"an instruction to {whom or 'everybody'} asks {own} for no {kind}"
    return (
        f"the instruction is for {whom}, not for {own}. If this merchant is enrolled as {whom}, the "
        "coordinator has to enrol it under its own name, or merchant.name has to be that one"
    )


class Pace:
    """When the last round began, and whether the next one may.

    Only rounds that were answered count: a refused instruction, such as an old one sent again by somebody
    else, must not keep the coordinator waiting.
    """

    def __init__(
        self, seconds: float, *, worked_before: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to count.

        Args:
            seconds: The contract's pace.
            worked_before: Whether rounds were answered by an earlier process. When they began nobody knows
                for certain, since clocks can be set; so this moment counts as the begin of the last one.
            clock: Seconds that only grow.
        """
        self._seconds, self._clock = seconds, clock
        self._began = clock() if worked_before else None

    def next_round(self) -> float:
        """Return the present moment, at which a new round may begin.

        Raises:
            Refused: `PACE`.
        """
        now = self._clock()
        if self._began is not None and now - self._began < self._seconds:
            rest = self._seconds - (now - self._began)
            raise Refused(Refusal.PACE, f"the contract allows the next round in {rest:.0f} s")
        return now

    def began(self, moment: float) -> None:
        """Note that a round that began at `moment` was answered."""
        self._began = moment
