"""What reached the coordinator, written down: one line per reply, for whoever audits what left a merchant.

A line holds what identifies and measures everything in a message: record names, array names, shapes, types
and bytes, and the whole content of records that hold settings or metrics. Of the numbers inside arrays only a
digest is kept. Lines are chained like a journal's, so none can be taken out unnoticed.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid

from shared_model import npy, protocol
from shared_model.errors import ProtocolError
from shared_model.journal import Journal

from .streaming import WrappedGrid

RECORD = "wire.jsonl"
"""In the run directory."""

_LONGEST = 1000
"""Letters that are kept of one value; its length is kept beside them where it is longer."""


@contextmanager
def recorded(grid: Grid, directory: Path, *, durable: bool = True) -> Iterator[Grid]:
    """Let `grid` write down every reply, in `directory`, for the length of the block.

    Raises:
        StateError: What was written down before was changed.
    """
    with Journal(directory / RECORD, durable=durable) as record:
        yield RecordingGrid(grid, record)


@dataclass(frozen=True)
class _Asked:
    """What a question was: its type, whom it was for, and of which round of which training."""

    type: str
    merchant: str
    lineage: str
    round: int


_NOBODY = _Asked("", "", "", 0)


class RecordingGrid(WrappedGrid):
    """Another grid, which writes down what comes back before anybody reads it.

    Guarantees:
        * Every reply has its line, also one that is refused later (`tests/server/test_wire_record.py`).
        * Replies are handed on one at a time, as the wrapped grid yields them.
    """

    def __init__(self, grid: Grid, record: Journal) -> None:
        """Wrap `grid`; lines go to `record`."""
        super().__init__(grid)
        self._record = record

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Yield the replies that have arrived."""
        yield from self._noted(self._grid.pull_messages(message_ids), [])

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Send messages and yield their replies."""
        questions = list(messages)
        yield from self._noted(self._grid.send_and_receive(questions, timeout=timeout), questions)

    def _noted(self, replies: Iterable[Message], questions: list[Message]) -> Iterator[Message]:
        asked: dict[str, _Asked] = {}
        for reply in replies:
            asked = asked or {q.metadata.message_id: _asked(q) for q in questions}  # ids come with sending
            question = asked.get(reply.metadata.reply_to_message_id, _NOBODY)
            self._record.append("reply", **line_of(reply, question))
            yield reply
            del reply  # or it would stay alive while the next one is made


def line_of(reply: Message, question: _Asked = _NOBODY) -> dict[str, Any]:
    """Return what is written down of a reply, as JSON values."""
    facts: dict[str, Any] = {
        "type": question.type or reply.metadata.message_type,
        "merchant": question.merchant,
        "node": reply.metadata.src_node_id,
        "lineage": question.lineage,
        "round": question.round,
    }
    if reply.has_error():
        text = reply.error.reason or ""
        return {**facts, "error": {"code": reply.error.code, "letters": len(text)}, "records": {}}
    return {**facts, "error": None, "records": {name: _record(r) for name, r in reply.content.items()}}


def _asked(question: Message) -> _Asked:
    instruction = question.content.get(protocol.INSTRUCTION)
    told = dict(instruction) if isinstance(instruction, ConfigRecord) else {}
    return _Asked(
        type=question.metadata.message_type,
        merchant=str(told.get("merchant", "")),
        lineage=str(told.get("lineage", "")),
        round=int(str(told.get("round", 0))),
    )


def _record(record: ArrayRecord | ConfigRecord | MetricRecord) -> dict[str, Any]:
    if isinstance(record, ArrayRecord):
        arrays = {name: _array(name, array) for name, array in record.items()}
        return {"kind": "arrays", "arrays": arrays, "digest": _digest(record)}
    kind = "metrics" if isinstance(record, MetricRecord) else "config"
    return {"kind": kind, "content": {key: _value(value) for key, value in record.items()}}


def _digest(record: ArrayRecord) -> str:
    """Return the SHA-256, in hex, of names and bytes in order of name: two answers differ or do not."""
    state = hashlib.sha256()
    for name in sorted(record):
        state.update(f"{name}\0{len(record[name].data)}\0".encode())
        state.update(record[name].data)
    return state.hexdigest()


def _array(name: str, array: Array) -> dict[str, Any]:
    """What the bytes hold; where they hold no array, or another than was declared beside them, that too."""
    try:
        held = npy.read(name, array.data)
    except ProtocolError:
        declared = {"shape": list(array.shape), "dtype": array.dtype}
        return {"bytes": len(array.data), "encoding": array.stype, **declared, "unreadable": True}
    found = {"shape": list(held.shape), "dtype": npy.type_name(held.dtype)}
    facts = {"bytes": len(array.data), "encoding": array.stype, **found}
    if (array.shape, array.dtype) == (held.shape, found["dtype"]):
        return facts
    return {**facts, "declared": {"shape": list(array.shape), "dtype": array.dtype}}


def _value(value: object) -> Any:
    if isinstance(value, list):
        return [_value(part) for part in value]
    if isinstance(value, bool | int | float):
        return value
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _LONGEST else {"first": text[:_LONGEST], "letters": len(text)}
