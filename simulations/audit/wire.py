"""What left each merchant, from the messages that reached the coordinator, against the contract.

The coordinator writes `wire.jsonl` (`server.wire_record`) while a federation trains. Here every line of it is
held against what the contract lets a merchant send: the contract's arrays, and an echo of the instruction.
Whatever else a message holds is a finding, and so is a second, different answer to one round: each answer is
a release of its own.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from server.wire_record import RECORD
from shared_model import journal, npy, protocol
from shared_model.errors import ConfigError, DataError
from shared_model.model import initial_shared
from shared_model.precision import PRECISIONS
from shared_model.privacy.plan import trained_tasks
from shared_model.protocol import Refusal
from shared_model.row_blocks import Schedule, schedule_of, shapes_in
from shared_model.schema import Federation, load_federation

_CONTRACT = "federation.toml"
_DESCRIBES = {"name", "tier", "tasks", "role"}
"""What a merchant says when it is asked who it is (`server.roster.asked`)."""
_NOT_THE_MERCHANTS = {1, 3, 4, 5, 7, 8}
"""Flower's codes for what its own programs say in a merchant's place; their text is Flower's."""
_ENCODING = "numpy.ndarray"
_HEX = set("0123456789abcdef")

Line = Mapping[str, Any]


class Sent(NamedTuple):
    """One kind of array that left one merchant."""

    merchant: str
    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found in one run's messages.

    Attributes:
        file: Which was read.
        replies: Number of lines.
        private: Whether the contract has a `[privacy]` table.
        messages: How often each kind of array left each merchant.
        bytes: How many bytes of it.
        refusals: Merchant -> how many of its replies were a code instead of a result.
        findings: What is outside the contract, in words; nothing where all is well.
    """

    file: Path
    replies: int
    private: bool = True
    messages: Counter[Sent] = field(default_factory=Counter)
    bytes: Counter[Sent] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    findings: tuple[str, ...] = ()


def records_in(directory: Path) -> list[Path]:
    """Return the files of recorded messages in a run directory or below it.

    Raises:
        DataError: There are none.
    """
    found = sorted(directory.rglob(RECORD))
    if not found:
        raise DataError(f"{directory}: no {RECORD} in it or below it. Give the directory of a run.")
    return found


def contract_of(record: Path) -> Path:
    """Return the contract that lies nearest above a file of recorded messages.

    Raises:
        ConfigError: There is none up to three folders above it.
    """
    for folder in list(record.absolute().parents)[:4]:
        if (folder / _CONTRACT).exists():
            return folder / _CONTRACT
    raise ConfigError(record, "--contract", None, "the federation.toml of the run")


def audited(record: Path, contract: Path) -> Audit:
    """Return what `record` holds, held against the contract.

    Raises:
        StateError: The chain of lines is broken.
        ConfigError: The contract cannot be read.
    """
    allowed = _Allowed.by(load_federation(contract))
    lines = [line for line in journal.read(record) if line["event"] == "reply"]
    messages, sizes = Counter[Sent](), Counter[Sent]()
    for line in lines:
        for sent, size in _arrays(line):
            messages[sent] += 1
            sizes[sent] += size
    findings = [f"{_sender(line)}: {problem}" for line in lines for problem in _problems(line, allowed)]
    return Audit(
        file=record,
        replies=len(lines),
        private=allowed.private,
        messages=messages,
        bytes=sizes,
        refusals=Counter(_merchant(line) for line in lines if line["error"]),
        findings=(*findings, *_too_many(lines, allowed)),
    )


@dataclass(frozen=True, kw_only=True)
class _Allowed:
    """What the contract lets a merchant send."""

    shapes: Mapping[str, tuple[int, ...]]
    beside: Mapping[str, tuple[tuple[int, ...], str]]
    dtype: str
    schedule: Schedule
    rounds: int
    private: bool

    @classmethod
    def by(cls, federation: Federation) -> "_Allowed":
        agreed = PRECISIONS[federation.federation.precision]
        shapes = {n: a.shape for n, a in initial_shared(federation, 0).items()}
        beside: dict[str, tuple[tuple[int, ...], str]] = {}
        if agreed.scaled:
            beside[protocol.SCALES] = ((len(shapes),), "float32")
        if federation.privacy is not None and federation.privacy.telemetry is not None:
            beside[protocol.TELEMETRY] = ((len(trained_tasks(federation)),), "float32")
        return cls(
            shapes=shapes,
            beside=beside,
            dtype=agreed.up.name,
            schedule=schedule_of(federation),
            rounds=federation.federation.rounds,
            private=federation.privacy is not None,
        )

    def arrays(self, round_number: int) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return the arrays of an answer to a round."""
        shapes = shapes_in(self.shapes, self.schedule.rows(round_number))
        return {**{name: (shape, self.dtype) for name, shape in shapes.items()}, **self.beside}


def _problems(line: Line, allowed: _Allowed) -> Iterator[str]:
    """Yield what is wrong with one reply by itself."""
    if line["error"]:
        yield from _problems_of_error(line["error"])
    elif line["type"] in _OF_TYPE:
        yield from _OF_TYPE[line["type"]](line, allowed)
    else:
        yield f"answers a message of the unknown type {line['type']!r}"


def _problems_of_error(error: Line) -> Iterator[str]:
    code, letters = error["code"], error["letters"]
    if code not in list(Refusal) and code not in _NOT_THE_MERCHANTS | {2, 6}:
        yield f"unknown code {code}"
    if letters and code not in _NOT_THE_MERCHANTS:
        yield f"{letters} letters of text beside code {code}"


def _problems_of_round(line: Line, allowed: _Allowed) -> Iterator[str]:
    yield from _problems_of_records(line, {protocol.ARRAYS: "arrays", protocol.REPORT: "config"})
    arrays = line["records"].get(protocol.ARRAYS, {}).get("arrays", {})
    agreed = allowed.arrays(line["round"])
    for name in sorted(agreed.keys() | arrays.keys()):
        yield from _problems_of_array(name, arrays.get(name), agreed.get(name))
    report = line["records"].get(protocol.REPORT, {}).get("content")
    if report is not None:
        yield from _problems_of_report(report, line, allowed)


def _problems_of_adoption(line: Line, allowed: _Allowed) -> Iterator[str]:
    yield from _problems_of_records(line, {})


def _problems_of_description(line: Line, allowed: _Allowed) -> Iterator[str]:
    yield from _problems_of_records(line, {protocol.REPORT: "config"})
    told = line["records"].get(protocol.REPORT, {}).get("content", {})
    for key in sorted(set(told) - _DESCRIBES):
        yield f"unknown key {key} in record {protocol.REPORT}"


_OF_TYPE: Mapping[str, Callable[[Line, _Allowed], Iterator[str]]] = {
    "train": _problems_of_round,
    "train.adopt": _problems_of_adoption,
    "query": _problems_of_description,
}


def _problems_of_records(line: Line, expected: Mapping[str, str]) -> Iterator[str]:
    for name, record in line["records"].items():
        if record["kind"] == "metrics":
            yield f"metric record {name} with {', '.join(record['content']) or 'nothing'}"
        elif expected.get(name) != record["kind"]:
            yield f"unknown record {name} ({record['kind']})"
    for name in expected.keys() - line["records"].keys():
        yield f"missing record {name}"


def _problems_of_array(
    name: str, found: Line | None, agreed: tuple[tuple[int, ...], str] | None
) -> Iterator[str]:
    if agreed is None:
        yield f"unknown array {name}"
        return
    shape, dtype = agreed
    if found is None:
        yield f"missing array {name}"
    elif found.get("unreadable"):
        yield f"array {name} holds no array"
    elif (tuple(found["shape"]), found["dtype"]) != (shape, dtype):
        yield f"array {name} is {found['dtype']} {tuple(found['shape'])}, agreed is {dtype} {shape}"
    elif "declared" in found:
        yield f"array {name} was declared as another than it is"
    elif found["bytes"] != (needed := npy.size(shape, np.dtype(dtype))) or found["encoding"] != _ENCODING:
        yield f"array {name} has {found['bytes']} bytes, its numbers need {needed}"


def _problems_of_report(report: Line, line: Line, allowed: _Allowed) -> Iterator[str]:
    expected = {"version": protocol.VERSION, "lineage": line["lineage"], "round": line["round"]}
    for key in sorted(report.keys() - expected.keys() - {"ledger"}):
        yield f"unknown key {key} in record {protocol.REPORT}"
    for key, value in expected.items():
        if report.get(key) != value:
            yield f"{key} in record {protocol.REPORT} is {report.get(key)!r}, asked was {value!r}"
    head = report.get("ledger")
    if not _is_head(head) if allowed.private else head != "":
        yield f"ledger in record {protocol.REPORT} is {head!r}, allowed is {_HEADS[allowed.private]}"


_HEADS = {True: "the head of a ledger", False: "nothing, since the contract has no privacy policy"}


def _is_head(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX


def _too_many(lines: Sequence[Line], allowed: _Allowed) -> Iterator[str]:
    """Yield what is wrong with all answers of a merchant together."""
    answers: dict[tuple[str, str], dict[int, set[str]]] = {}
    for line in lines:
        if line["type"] == "train" and not line["error"]:
            digest = line["records"].get(protocol.ARRAYS, {}).get("digest", "")
            rounds = answers.setdefault((line["merchant"], line["lineage"]), {})
            rounds.setdefault(line["round"], set()).add(digest)
    for (merchant, lineage), rounds in sorted(answers.items()):
        beyond = [number for number in rounds if not 1 <= number <= allowed.rounds]
        if beyond or len(rounds) > allowed.rounds:
            yield f"{merchant}, {lineage}: {len(rounds)} rounds up to {max(rounds)}, planned {allowed.rounds}"
        for number in sorted(number for number, digests in rounds.items() if len(digests) > 1):
            yield f"{merchant}, {lineage}, round {number}: {len(rounds[number])} different answers"


def _arrays(line: Line) -> Iterator[tuple[Sent, int]]:
    for record in line["records"].values():
        for name, array in record.get("arrays", {}).items():
            yield Sent(_merchant(line), name, tuple(array["shape"]), array["dtype"]), array["bytes"]


def _merchant(line: Line) -> str:
    return line["merchant"] or f"node {line['node']}"


def _sender(line: Line) -> str:
    return f"{_merchant(line)}, {line['lineage']}, round {line['round']}"
