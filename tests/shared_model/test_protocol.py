"""The wire contract knows its keys, and nothing else may travel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_model.errors import FingerprintMismatch, ProtocolError, VersionMismatch
from shared_model.protocol import Instruction, Report, digest, problem_with

INSTRUCTION = Instruction(fingerprint="f" * 64, lineage="spring", round=3, digest="d" * 64)
EXPECTED = {"w": (2, 3), "b": (2,)}


def arrays() -> dict[str, np.ndarray]:
    return {"w": np.ones((2, 3), np.float32), "b": np.zeros(2, np.float32)}


@given(lineage=st.text(), round=st.integers(min_value=1, max_value=2**31))
def test_messages_survive_the_wire(lineage: str, round: int) -> None:
    instruction = Instruction(fingerprint="f", lineage=lineage, round=round, digest="d")
    report = Report(lineage=lineage, round=round, ledger="f" * 64)
    assert Instruction.from_mapping(instruction.to_mapping()) == instruction
    assert Report.from_mapping(report.to_mapping()) == report


def test_another_version_is_named_first() -> None:
    with pytest.raises(VersionMismatch, match="speaks version 99"):
        Instruction.from_mapping({"version": 99, "something": "else"})


@pytest.mark.parametrize(
    "change",
    [{"epochs": 3}, {"round": "3"}, {"round": True}, {"lineage": b"spring"}],
    ids=["unknown key", "text for a number", "a flag for a number", "bytes for text"],
)
def test_an_instruction_of_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        Instruction.from_mapping({**INSTRUCTION.to_mapping(), **change})


def test_a_missing_key_is_refused() -> None:
    mapping = INSTRUCTION.to_mapping()
    del mapping["round"]
    with pytest.raises(ProtocolError, match=r"missing keys \['round'\]"):
        Instruction.from_mapping(mapping)


def test_another_contract_is_refused() -> None:
    INSTRUCTION.check_fingerprint("f" * 64)
    with pytest.raises(FingerprintMismatch, match=r"somebody changed federation\.toml"):
        INSTRUCTION.check_fingerprint("e" * 64)


def test_good_arrays_have_no_problem() -> None:
    assert problem_with(arrays(), EXPECTED) is None


@pytest.mark.parametrize(
    ("name", "array", "problem"),
    [
        ("head", np.zeros(2, np.float32), "unknown array head"),
        ("b", None, "missing array b"),
        ("b", np.zeros(3, np.float32), "wrong shape (3,) of b"),
        ("b", np.zeros(2, np.float64), "wrong type float64 of b"),
        ("b", np.array([0, np.nan], np.float32), "not finite b"),
        ("b", np.array([np.inf, 0], np.float32), "not finite b"),
    ],
)
def test_each_problem_is_named(name: str, array: np.ndarray | None, problem: str) -> None:
    sent = {k: v for k, v in {**arrays(), name: array}.items() if v is not None}
    assert problem_with(sent, EXPECTED) == problem


def test_the_digest_sees_names_shapes_types_and_bytes_but_not_order() -> None:
    base = digest(arrays())
    assert digest(dict(reversed(arrays().items()))) == base
    others = [
        {**arrays(), "b": np.array([0, 1e-30], np.float32)},
        {**arrays(), "w": np.ones((3, 2), np.float32)},
        {"w": arrays()["w"], "c": arrays()["b"]},
        {**arrays(), "b": np.zeros(2, np.int32)},
    ]
    assert len({base, *map(digest, others)}) == 5
