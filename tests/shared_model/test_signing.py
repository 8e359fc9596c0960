"""Only the holder of the contract's key can make an instruction."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from shared_model import signing
from shared_model.errors import Refused, StateError
from shared_model.protocol import Instruction, Refusal

KEY = signing.new_key()
PUBLIC = signing.public_key(KEY)
INSTRUCTION = Instruction(
    fingerprint="f" * 64, lineage="spring", round=3, digest="d" * 64, merchant="acme", answered=2
)
SIGNED = signing.signed(INSTRUCTION, signing.read_key(KEY))


def refusal(instruction: Instruction, key: str = PUBLIC) -> Refused:
    with pytest.raises(Refused) as refused:
        signing.check(instruction, key)
    assert refused.value.code == Refusal.SIGNATURE
    return refused.value


def test_a_signed_instruction_survives_the_wire() -> None:
    signing.check(Instruction.from_mapping(SIGNED.to_mapping()), PUBLIC)


@pytest.mark.parametrize("name", [f.name for f in fields(Instruction) if f.name != "signature"])
def test_no_field_of_a_signed_instruction_can_be_exchanged(name: str) -> None:
    value = getattr(SIGNED, name)
    refusal(replace(SIGNED, **{name: value + 1 if isinstance(value, int) else value + "x"}))


def test_an_unsigned_instruction_is_refused() -> None:
    assert "not signed" in str(refusal(INSTRUCTION))


@pytest.mark.parametrize("spoil", [lambda _: "nonsense", lambda _: "AAAA", lambda _: "é", lambda s: s[:-4]])
def test_what_is_no_signature_is_refused(spoil: Callable[[str], str]) -> None:
    refusal(replace(SIGNED, signature=spoil(SIGNED.signature)))


def test_another_key_is_refused() -> None:
    refusal(SIGNED, signing.public_key(signing.new_key()))


def test_a_contract_without_a_key_lets_nobody_sign() -> None:
    refusal(SIGNED, "")


def test_a_file_that_is_no_key_is_named_as_such() -> None:
    with pytest.raises(StateError, match="not an Ed25519 private key"):
        signing.read_key(b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
