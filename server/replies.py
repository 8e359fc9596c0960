"""Whether a merchant's reply may enter the aggregate.

A reply is used whole or not at all. What is wrong with it is said in words for the coordinator's journal;
of an error reply only the code is ever read, never the text that came with it.
"""

import re
from collections.abc import Mapping

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from shared_model import precision, protocol
from shared_model.errors import ProtocolError, VersionMismatch
from shared_model.precision import Precision
from shared_model.protocol import Answer, Instruction, Refusal, Report, SharedArrays

from . import wire

_LONGEST_REASON = 200
_HEAD = re.compile(r"[0-9a-f]{64}")
_FLOWER_ERRORS = {
    1: "CLIENT_APP_NOT_LOADED",
    2: "CLIENT_APP_RAISED",
    3: "MESSAGE_UNAVAILABLE",
    4: "REPLY_UNAVAILABLE",
    5: "NODE_UNAVAILABLE",
    6: "MOD_FAILED",
    7: "INVALID_BUNDLE",
    8: "CLIENT_APP_CRASHED",
}
"""Flower's own error codes (its documentation of `flwr.app.Error`), in our words."""


def check(
    reply: Message,
    instruction: Instruction,
    expected: Mapping[str, tuple[int, ...]],
    agreed: Precision,
    *,
    private: bool,
    told: int = 0,
) -> Answer | str:
    """Return the answer in a usable reply, or in words why it is not usable.

    Args:
        reply: What came back.
        instruction: What was asked.
        expected: Shape of every array of the contract.
        agreed: The contract's precision, which says what type they have and what travels beside them.
        private: Whether the contract has a privacy policy, so that a reply names the head of a ledger.
        told: Length of the array of telemetry; 0 where the contract has none.
    """
    if reply.has_error():
        return _error_name(reply.error.code)
    answer = _checked(reply.content, instruction, private)
    if isinstance(answer, str):
        return answer
    problem = _problem_with_arrays(answer.arrays, expected, agreed, told)
    return answer if problem is None else _short(problem)


def acknowledged(reply: Message) -> str:
    """Return `adopted` for the empty reply to an offer, and otherwise in words why it is none."""
    if reply.has_error():
        return _error_name(reply.error.code)
    surplus = sorted(reply.content)
    return _short(f"unknown record {surplus[0]}") if surplus else "adopted"


def _checked(content: RecordDict, instruction: Instruction, private: bool) -> Answer | str:
    """Return the answer, whose arrays may still be any."""
    arrays, report = content.get(protocol.ARRAYS), content.get(protocol.REPORT)
    if surplus := sorted(set(content) - {protocol.ARRAYS, protocol.REPORT}):
        return _short(f"unknown record {surplus[0]}")
    if not isinstance(arrays, ArrayRecord):
        return f"missing record {protocol.ARRAYS}"
    if not isinstance(report, ConfigRecord):
        return f"missing record {protocol.REPORT}"
    read = _read_report(report, instruction)
    if isinstance(read, str):
        return read
    if problem := _problem_with_ledger(read.ledger, private):
        return problem
    try:
        return Answer(wire.unpack(arrays), ledger=read.ledger)
    except ProtocolError as error:
        return _short(str(error))


def _problem_with_arrays(
    arrays: SharedArrays, expected: Mapping[str, tuple[int, ...]], agreed: Precision, told: int
) -> str | None:
    if not told:
        return precision.problem_with(arrays, expected, agreed)
    sums = {name: array for name, array in arrays.items() if name == protocol.TELEMETRY}
    rest = {name: array for name, array in arrays.items() if name != protocol.TELEMETRY}
    return precision.problem_with(rest, expected, agreed) or protocol.problem_with(
        sums, {protocol.TELEMETRY: (told,)}
    )


def _read_report(record: ConfigRecord, instruction: Instruction) -> Report | str:
    try:
        report = Report.from_mapping(dict(record.items()))
    except VersionMismatch:
        return "another version"
    except ProtocolError:
        return "unreadable report"
    if report.lineage != instruction.lineage:
        return "another lineage"
    if report.round != instruction.round:
        return f"another round {report.round}"
    return report


def _problem_with_ledger(head: str, private: bool) -> str | None:
    if not private:
        return "the head of a ledger, although the contract has no privacy policy" if head else None
    return (
        None if _HEAD.fullmatch(head) else "no head of a ledger, although the contract has a privacy policy"
    )


def _error_name(code: int) -> str:
    if code in list(Refusal):
        return Refusal(code).name
    return _FLOWER_ERRORS.get(code, f"error {code}")


def _short(reason: str) -> str:
    """Cut what may contain the sender's own words."""
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}..."
