"""How a question and its answer cross the socket: what is asked or told, then chunks of raw numbers.

Names, shapes, types and sizes do not travel: both ends know them, the agent from the contract, its caller
from the question; where scales are told, the answer's numbers are whole steps of one byte. The numbers
follow one another in order of name, little endian, without gaps.

Guarantee: the receiver allocates what it expects, never what a peer announces, and refuses the first byte
beyond it (`tests/client/agent/test_wire.py`).
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shared_model.errors import Refused
from shared_model.protocol import SCALES, TELEMETRY, Answer, Instruction, Refusal, SharedArrays

from . import agent_pb2

CHUNK_BYTES = 2**20
"""A quarter of what gRPC receives in one message by default."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One array that is to come."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def bytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize


Layout = tuple[Expected, ...]
"""All arrays that are to come, in order of name."""


def layout(shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]) -> Layout:
    """Return the layout of arrays that all have one type."""
    return tuple(Expected(name=name, shape=shapes[name], dtype=dtype) for name in sorted(shapes))


def layout_of(arrays: SharedArrays) -> Layout:
    """Return the layout of `arrays`.

    Raises:
        Refused: `ARRAYS`: one of them holds no plain numbers.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise Refused(Refusal.ARRAYS, f"{name} holds no plain numbers")
    return tuple(Expected(name=n, shape=arrays[n].shape, dtype=arrays[n].dtype) for n in sorted(arrays))


def chunks(arrays: SharedArrays) -> Iterator[bytes]:
    """Yield the numbers of `arrays` in pieces of `CHUNK_BYTES`, the last one shorter."""
    piece = bytearray()
    for name in sorted(arrays):
        raw = _raw(arrays[name])
        start = 0
        while start < len(raw):
            taken = raw[start : start + CHUNK_BYTES - len(piece)]
            piece += taken
            start += len(taken)
            if len(piece) == CHUNK_BYTES:
                yield bytes(piece)
                piece.clear()
    if piece:
        yield bytes(piece)


def received(pieces: Iterable[bytes], expected: Layout) -> SharedArrays:
    """Return the arrays that `pieces` hold: views of one buffer.

    Raises:
        Refused: `ARRAYS`: there are more bytes, which is noticed at once, or fewer than expected.
    """
    total = sum(array.bytes for array in expected)
    buffer = np.empty(total, np.uint8)
    filled = 0
    for piece in pieces:
        end = filled + len(piece)
        if end > total:
            raise Refused(Refusal.ARRAYS, f"more than the {total} bytes of the contract's arrays")
        buffer[filled:end] = np.frombuffer(piece, np.uint8)
        filled = end
    if filled < total:
        raise Refused(Refusal.ARRAYS, f"{filled} bytes instead of the {total} of the contract's arrays")
    return dict(_views(buffer, expected))


def questions(instruction: Instruction, arrays: SharedArrays) -> Iterator[agent_pb2.Question]:
    """Yield the messages of a question."""
    yield agent_pb2.Question(instruction=agent_pb2.Instruction(**instruction.to_mapping()))  # type: ignore[arg-type]
    for chunk in chunks(arrays):
        yield agent_pb2.Question(chunk=chunk)


def instruction_in(question: agent_pb2.Question | None) -> Instruction:
    """Return the instruction that the first message of a question holds, not yet believed.

    Raises:
        Refused: `SIGNATURE`: it holds none.
    """
    if question is None or question.WhichOneof("part") != "instruction":
        raise Refused(Refusal.SIGNATURE, "the question does not begin with an instruction")
    header = question.instruction
    return Instruction(**{field.name: getattr(header, field.name) for field in header.DESCRIPTOR.fields})


def chunks_in(following: Iterable[agent_pb2.Question]) -> Iterator[bytes]:
    """Yield the chunks of the messages after the first.

    Raises:
        Refused: `ARRAYS`: one of them holds no chunk.
    """
    for question in following:
        if question.WhichOneof("part") != "chunk":
            raise Refused(Refusal.ARRAYS, "a message after the first holds no chunk")
        yield question.chunk


def answers(answer: Answer) -> Iterator[agent_pb2.Answer]:
    """Yield the messages of an answer."""
    parameters = {n: array for n, array in answer.arrays.items() if n not in (SCALES, TELEMETRY)}
    sums, scales = (map(float, answer.arrays.get(name, ())) for name in (TELEMETRY, SCALES))
    yield agent_pb2.Answer(told=agent_pb2.Told(ledger=answer.ledger, telemetry=sums, scales=scales))
    for chunk in chunks(parameters):
        yield agent_pb2.Answer(chunk=chunk)


def answer_in(messages: Iterable[agent_pb2.Answer], expected: Layout) -> Answer:
    """Return the answer that `messages` hold.

    Raises:
        Refused: `ARRAYS`: they do not begin with what is told, or do not go on as `received` wants it.
    """
    following = iter(messages)
    first = next(following, None)
    if first is None or first.WhichOneof("part") != "told":
        raise Refused(Refusal.ARRAYS, "the answer does not begin with what is told")
    if scales := list(first.told.scales):
        expected = tuple(replace(array, dtype=np.dtype(np.int8)) for array in expected)
    arrays = received((message.chunk for message in following), expected)
    if scales:
        arrays[SCALES] = np.array(scales, np.float32)
    if sums := list(first.told.telemetry):
        arrays[TELEMETRY] = np.array(sums, np.float32)
    return Answer(arrays, ledger=first.told.ledger)


def _raw(array: np.ndarray[Any, np.dtype[Any]]) -> memoryview:
    """Return the bytes of an array, without a copy where it is contiguous and little endian already."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(little).reshape(-1).view(np.uint8).data


def _views(
    buffer: np.ndarray[Any, np.dtype[Any]], expected: Layout
) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[Any]]]]:
    start = 0
    for array in expected:
        raw = buffer[start : start + array.bytes]
        numbers = raw.view(array.dtype.newbyteorder("<")).reshape(array.shape)
        yield array.name, numbers.astype(array.dtype, copy=False)
        start += array.bytes
