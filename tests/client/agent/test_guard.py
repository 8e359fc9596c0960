"""Only the coordinator's instructions, to this merchant, for this purpose, pass; and not too soon."""

from dataclasses import replace

import numpy as np
import pytest

from client.agent.guard import Pace, Terms, check
from shared_model import signing
from shared_model.errors import FingerprintMismatch, Refused, VersionMismatch
from shared_model.protocol import Instruction, Kind, Refusal

KEY, OTHER_KEY = signing.new_key(), signing.new_key()
TERMS = Terms(
    merchant="acme",
    fingerprint="agreed",
    coordinator_key=signing.public_key(KEY),
    pace_seconds=60.0,
    shapes={"weight": (2, 3)},
    precision="float16",
)
ROUND = Instruction(fingerprint="agreed", lineage="spring", round=1, digest="d", merchant="acme")
RELEASE = replace(ROUND, kind="adopt", merchant="")


def signed(instruction: Instruction, key: bytes = KEY) -> Instruction:
    return signing.signed(instruction, signing.read_key(key))


def code(instruction: Instruction, kind: Kind = "train") -> int:
    with pytest.raises(Refused) as refused:
        check(instruction, kind, TERMS)
    return refused.value.code


def test_a_signed_round_and_a_signed_release_pass() -> None:
    check(signed(ROUND), "train", TERMS)
    check(signed(RELEASE), "adopt", TERMS)


def test_an_unsigned_instruction_is_refused() -> None:
    assert code(ROUND) == Refusal.SIGNATURE


def test_one_signed_with_another_key_is_refused() -> None:
    assert code(signed(ROUND, OTHER_KEY)) == Refusal.SIGNATURE


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99}, {"kind": "adopt"}, {"fingerprint": "other"}, {"lineage": "autumn"}, {"round": 2},
        {"digest": "e"}, {"merchant": "bravo"}, {"answered": 1}, {"ledger": "h"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_field_that_was_changed_after_signing_is_noticed(change: dict[str, object]) -> None:
    assert code(replace(signed(ROUND), **change)) == Refusal.SIGNATURE


def test_what_is_meant_for_another_merchant_is_refused() -> None:
    assert code(signed(replace(ROUND, merchant="bravo"))) == Refusal.RECIPIENT


def test_a_round_for_everybody_is_refused() -> None:
    assert code(signed(replace(ROUND, merchant=""))) == Refusal.RECIPIENT


@pytest.mark.parametrize(("instruction", "kind"), [(ROUND, "adopt"), (RELEASE, "train")])
def test_an_instruction_to_do_one_thing_asks_for_no_other(instruction: Instruction, kind: Kind) -> None:
    assert code(signed(instruction), kind) == Refusal.RECIPIENT


def test_another_contract_is_named() -> None:
    with pytest.raises(FingerprintMismatch):
        check(signed(replace(ROUND, fingerprint="other")), "train", TERMS)


def test_another_version_is_named_once_it_is_signed() -> None:
    with pytest.raises(VersionMismatch):
        check(signed(replace(ROUND, version=99)), "train", TERMS)


def test_rounds_travel_in_the_contracts_type_and_releases_in_float32() -> None:
    (train,), (adopt,) = TERMS.layout("train", 1), TERMS.layout("adopt", 1)
    assert (train.dtype, adopt.dtype) == (np.float16, np.float32)
    assert (train.bytes, adopt.bytes) == (12, 24)


# --- pace ---------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_round_of_a_new_merchant_may_begin_at_once() -> None:
    assert Pace(60, worked_before=False, clock=Clock()).next_round() == 1000.0


def test_a_round_counts_from_its_begin() -> None:
    clock = Clock()
    pace = Pace(60, worked_before=False, clock=clock)
    began = pace.next_round()
    clock.now += 50  # it took so long
    pace.began(began)
    with pytest.raises(Refused, match="in 10 s") as refused:
        pace.next_round()
    assert refused.value.code == Refusal.PACE
    clock.now += 10
    assert pace.next_round() == 1060.0


def test_a_round_that_was_not_answered_does_not_count() -> None:
    pace = Pace(60, worked_before=False, clock=Clock())
    pace.next_round()
    assert pace.next_round() == 1000.0


def test_a_restart_counts_as_the_begin_of_the_last_round() -> None:
    clock = Clock()
    pace = Pace(60, worked_before=True, clock=clock)
    with pytest.raises(Refused):
        pace.next_round()
    clock.now += 60
    assert pace.next_round() == 1060.0
