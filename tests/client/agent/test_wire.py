"""Arrays cross the socket as raw numbers in the order that both ends know, and nothing is believed."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from client.agent import agent_pb2, wire
from shared_model.errors import Refused
from shared_model.protocol import SCALES, TELEMETRY, Answer, Instruction, Refusal, SharedArrays

ROOT = Path(__file__).resolve().parents[3]
TWO = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([7.0], np.float32)}


def crossed(arrays: SharedArrays) -> SharedArrays:
    return wire.received(wire.chunks(arrays), wire.layout_of(arrays))


def same(a: SharedArrays, b: SharedArrays) -> bool:
    return a.keys() == b.keys() and all(
        a[n].dtype == b[n].dtype and a[n].shape == b[n].shape and np.array_equal(a[n], b[n]) for n in a
    )


def test_the_numbers_follow_one_another_in_order_of_name() -> None:
    assert b"".join(wire.chunks(TWO)) == np.array([7, 0, 1, 2, 3, 4, 5], "<f4").tobytes()


@pytest.mark.parametrize(
    "arrays",
    [
        TWO,
        {"half": np.array([0.5, -2.0], np.float16)},
        {"scalar": np.array(3.0, np.float32)},
        {"nothing": np.zeros((0, 4), np.float32), "b": TWO["b"]},
        {"column": TWO["b"].T},
        {"big endian": np.array([1.0, 2.0], ">f4")},
    ],
    ids=lambda arrays: next(iter(arrays)),
)
def test_what_arrives_is_what_was_sent(arrays: SharedArrays) -> None:
    assert same(crossed(arrays), arrays)


def test_arrays_are_cut_into_pieces_of_one_size_whatever_their_own() -> None:
    half = wire.CHUNK_BYTES // 8 * 5
    arrays = {name: np.ones(half // 4, np.float32) for name in "abc"}
    assert [len(c) for c in wire.chunks(arrays)] == [wire.CHUNK_BYTES, 3 * half - wire.CHUNK_BYTES]
    assert same(crossed(arrays), arrays)


def test_one_byte_more_is_refused_at_once() -> None:
    def endless() -> object:
        yield b"".join(wire.chunks(TWO))
        yield b"x"
        raise AssertionError("nothing is read any more")

    with pytest.raises(Refused, match="more than the 28 bytes") as refused:
        wire.received(endless(), wire.layout_of(TWO))  # type: ignore[arg-type]
    assert refused.value.code == Refusal.ARRAYS


def test_one_byte_less_is_refused() -> None:
    with pytest.raises(Refused, match="27 bytes instead of the 28"):
        wire.received([b"x" * 27], wire.layout_of(TWO))


def test_arrays_of_other_things_than_numbers_are_refused() -> None:
    with pytest.raises(Refused) as refused:
        wire.layout_of({"a": np.array(["x"], dtype=object)})
    assert refused.value.code == Refusal.ARRAYS


def test_an_instruction_crosses_whole() -> None:
    asked = Instruction(
        fingerprint="f",
        lineage="spring",
        round=3,
        digest="d",
        merchant="acme",
        answered=2,
        ledger="h",
        signature="s",
    )
    assert wire.instruction_in(next(wire.questions(asked, TWO))) == asked


def test_an_answer_of_whole_steps_crosses_with_their_lengths_in_a_quarter_of_the_bytes() -> None:
    steps = {name: np.arange(array.size, dtype=np.int8).reshape(array.shape) for name, array in TWO.items()}
    answer = Answer({**steps, SCALES: np.array([0.5, 2.0], np.float32)}, ledger="f" * 64)
    crossed = wire.answer_in(wire.answers(answer), wire.layout_of(TWO))
    assert same(crossed.arrays, answer.arrays)
    assert sum(len(message.chunk) for message in wire.answers(answer)) == 7


@pytest.mark.parametrize("told", [{}, {TELEMETRY: np.array([0.1, 2.0], np.float32)}], ids=["plain", "told"])
def test_an_answer_crosses_whole(told: SharedArrays) -> None:
    crossed = wire.answer_in(wire.answers(Answer({**TWO, **told}, ledger="f" * 64)), wire.layout_of(TWO))
    assert same(crossed.arrays, {**TWO, **told})
    assert crossed.ledger == "f" * 64


@pytest.mark.parametrize("first", [None, agent_pb2.Question(), agent_pb2.Question(chunk=b"x")])
def test_a_question_that_begins_without_an_instruction_is_not_signed(first: agent_pb2.Question) -> None:
    with pytest.raises(Refused) as refused:
        wire.instruction_in(first)
    assert refused.value.code == Refusal.SIGNATURE


def test_a_second_instruction_is_no_chunk() -> None:
    again = agent_pb2.Question(instruction=agent_pb2.Instruction())
    with pytest.raises(Refused) as refused:
        list(wire.chunks_in([again]))
    assert refused.value.code == Refusal.ARRAYS


def test_the_committed_code_is_what_the_description_gives(tmp_path: Path) -> None:
    source = Path("client/agent/agent.proto")
    (tmp_path / source).parent.mkdir(parents=True)
    shutil.copy(ROOT / source, tmp_path / source)
    made = [sys.executable, "-m", "grpc_tools.protoc", "-I.", "--descriptor_set_out=made", str(source)]
    subprocess.run(made, cwd=tmp_path, check=True)
    (described,) = FileDescriptorSet.FromString((tmp_path / "made").read_bytes()).file
    for field in [field for message in described.message_type for field in message.field]:
        field.ClearField("json_name")  # which the generated module leaves out
    assert described == FileDescriptorProto.FromString(agent_pb2.DESCRIPTOR.serialized_pb)


def test_no_name_of_the_agent_is_one_of_flowers() -> None:
    assert agent_pb2.DESCRIPTOR.package == "fedbazaar.agent.v1"
