"""The wire contract: the only module that knows the key strings of a message.

A train message carries the shared arrays down and their new values up. Beside them only an instruction
goes down and an echo of it comes up, under a privacy policy with the head of the merchant's ledger; no loss,
no metric, no count, no time, no text. In a deployment the
coordinator signs every instruction (`shared_model.signing`), so all that lies between it and the merchant
is untrusted transport.

Guarantee: a reply that fails is one of the fixed codes of `Refusal`, which say what kind of thing went
wrong and nothing about the data (`tests/client/test_app.py`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import FingerprintMismatch, ProtocolError, VersionMismatch

VERSION = 3
"""Version of this contract; the two sides must agree exactly."""

_FLOAT32 = np.dtype(np.float32)

ARRAYS = "arrays"
INSTRUCTION = "instruction"
REPORT = "report"

TELEMETRY = "telemetry"
"""The one array of an answer that is no parameter: noised sums of losses, float32, where the contract has
`[privacy.telemetry]`; one number for each common task but retrieval, in order of name."""

SCALES = "scales"
"""The array of an answer that says how long a step of every other one is, float32, one number for each
parameter in order of name, where the contract's precision has steps (`shared_model.precision`)."""

SharedArrays = dict[str, NDArray[Any]]
"""What travels: arrays of the contract's precision, under its parameter names."""


class Refusal(IntEnum):
    """Everything a merchant may say instead of a result. The numbers are part of the contract."""

    FAILED = 1001
    """Something went wrong inside; the merchant's own log says what."""
    VERSION = 1002
    """The instruction speaks another version."""
    FINGERPRINT = 1003
    """The merchant holds another contract."""
    ARRAYS = 1004
    """Arrays are missing, unknown, misshapen, of another type or not finite."""
    ROUND = 1005
    """The round lies behind the last one, was never planned, or does not follow from the last answer."""
    CONFLICT = 1006
    """The last round was asked again with other arrays."""
    BUSY = 1007
    """The merchant is still at work on another round."""
    UNREADY = 1008
    """The merchant's data or configuration cannot be used at present."""
    SIGNATURE = 1009
    """The instruction is not signed with the key of the contract."""
    RECIPIENT = 1010
    """The instruction is meant for another merchant, or for another purpose."""
    PACE = 1011
    """The round comes sooner after the one before than the contract allows."""
    UNREACHABLE = 1012
    """The merchant's agent does not answer; its node does."""
    BUDGET = 1013
    """The merchant's privacy budget is spent."""
    LEDGER = 1014
    """The merchant's ledger does not hold the head that the instruction names: it was rolled back."""


Kind = Literal["train", "adopt"]
"""What an instruction asks for: train a round from the arrays, or take them over for serving."""


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What the coordinator asks of a merchant.

    Attributes:
        version: Of the wire contract.
        kind: See `Kind`.
        fingerprint: Of the federation's contract (`Federation.fingerprint`).
        lineage: Names one training of this contract from its first round on; a resumed run keeps it.
        round: From 1 to the contract's number of rounds; the last one with `adopt`.
        digest: SHA-256 of the arrays sent along (`digest`).
        merchant: Name under which the recipient is enrolled; empty with `adopt`, which is for everybody.
        answered: Last round of this training for which the coordinator holds an answer of this merchant; 0
            for none. It says which rounds were missed, so that skipping one needs the coordinator's word.
        ledger: Head of the recipient's ledger (`Answer.ledger`) that came with its last answer; empty for
            none. A merchant whose ledger does not hold it was rolled back.
        signature: Of all the above (`shared_model.signing`); empty in a simulation.
    """

    version: int = VERSION
    kind: str = "train"
    fingerprint: str
    lineage: str
    round: int
    digest: str
    merchant: str = ""
    answered: int = 0
    ledger: str = ""
    signature: str = ""

    def to_mapping(self) -> dict[str, int | str]:
        """Return the flat record that is sent."""
        return dict(vars(self))

    @classmethod
    def from_mapping(cls, record: Mapping[str, object]) -> "Instruction":
        """Return the instruction in `record`.

        Raises:
            VersionMismatch: It was written by another version.
            ProtocolError: A key is missing, unknown or of another type.
        """
        typed = _typed(record, _INSTRUCTION_TYPES)
        if typed["kind"] not in get_args(Kind):
            raise ProtocolError(f"Unknown kind of instruction {typed['kind']!r}.")
        return cls(**typed)  # type: ignore[arg-type]

    def check_fingerprint(self, own: str) -> None:
        """Require the fingerprint to be `own`.

        Raises:
            FingerprintMismatch: It is another.
        """
        if self.fingerprint != own:
            raise FingerprintMismatch(
                f"The coordinator's contract has fingerprint {self.fingerprint[:12]}..., this one has "
                f"{own[:12]}...: somebody changed federation.toml. Compare the two files."
            )


_INSTRUCTION_TYPES: dict[str, type] = {
    field.name: int if field.name in {"version", "round", "answered"} else str
    for field in fields(Instruction)
}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What comes back with the arrays: which instruction they answer, and after which charge.

    Attributes:
        version: Of the wire contract.
        lineage: Of the instruction.
        round: Of the instruction.
        ledger: See `Answer.ledger`.
    """

    version: int = VERSION
    lineage: str
    round: int
    ledger: str = ""

    def to_mapping(self) -> dict[str, int | str]:
        """Return the flat record that is sent."""
        return dict(vars(self))

    @classmethod
    def from_mapping(cls, record: Mapping[str, object]) -> "Report":
        """Return the report in `record` (errors as in `Instruction.from_mapping`)."""
        return cls(**_typed(record, _REPORT_TYPES))  # type: ignore[arg-type]


_REPORT_TYPES: Mapping[str, type] = {"lineage": str, "round": int, "ledger": str}


@dataclass(frozen=True)
class Answer:
    """What a merchant answers to a round.

    Attributes:
        arrays: The new shared parameters, or their change (`shared_model.precision`); `SCALES` and
            `TELEMETRY` where the contract has them.
        ledger: Head of the merchant's ledger once this round was charged, 64 hex digits; empty without a
            privacy policy. It is a hash over what was charged, so it says nothing of what was not.
    """

    arrays: SharedArrays
    ledger: str = ""


def digest(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Return the SHA-256, in hex, of names, types, shapes and bytes of `arrays`, in order of name."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        state.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        state.update(array.data)
    return state.hexdigest()


def problem_with(
    arrays: Mapping[str, NDArray[np.generic]],
    expected: Mapping[str, tuple[int, ...]],
    dtype: np.dtype[Any] = _FLOAT32,
) -> str | None:
    """Return what is wrong with `arrays`, or None.

    Args:
        arrays: What arrived.
        expected: Shape of every array that the contract names.
        dtype: Of all of them.

    Returns:
        One of `missing array`, `unknown array`, `wrong shape`, `wrong type`, `not finite`, with the name of
        the first such array in order of name.
    """
    for name in sorted(expected.keys() | arrays.keys()):
        if name not in arrays:
            return f"missing array {name}"
        if name not in expected:
            return f"unknown array {name}"
        array = arrays[name]
        if array.dtype != dtype:
            return f"wrong type {array.dtype} of {name}"
        if array.shape != expected[name]:
            return f"wrong shape {array.shape} of {name}"
        if not np.isfinite(array).all():
            return f"not finite {name}"
    return None


def _typed(record: Mapping[str, object], types: Mapping[str, type]) -> dict[str, object]:
    version = record.get("version")
    if version != VERSION:
        raise VersionMismatch(f"The message speaks version {version!r}, this side speaks {VERSION}.")
    expected = {"version": int, **types}
    if set(record) != set(expected):
        unknown, missing = sorted(set(record) - set(expected)), sorted(set(expected) - set(record))
        raise ProtocolError(f"Unknown keys {unknown}, missing keys {missing}.")
    for key, type_ in expected.items():
        if type(record[key]) is not type_:
            raise ProtocolError(f"Expected {key} to be {type_.__name__}, got {type(record[key]).__name__}.")
    return dict(record)
