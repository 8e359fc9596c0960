"""Exactly one valid reply leaves for every message, and a failure says nothing about the data."""

from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict

from client.app import client_app
from client.reach import merchant_for
from shared_model.errors import (
    BudgetExhausted,
    ConfigError,
    DataError,
    FingerprintMismatch,
    Refused,
    StateError,
    UnaccountedRelease,
    VersionMismatch,
)
from shared_model.protocol import (
    ARRAYS,
    INSTRUCTION,
    REPORT,
    Answer,
    Instruction,
    Refusal,
    SharedArrays,
    digest,
)
from simulations.in_process import InProcessGrid

SECRET = "Ada Lovelace bought 3 lamps"
W = {"w": np.array([1.0, 2.0], np.float32)}
INSTRUCTION_RECORD = Instruction(fingerprint="f", lineage="spring", round=1, digest=digest(W)).to_mapping()


class FakeMerchant:
    """Adds one to everything, or does what `act` does."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.act = act
        self.adopted: SharedArrays | None = None
        self.name, self.tier, self.tasks = "acme", "small", frozenset({"late", "bought"})
        self.role = "train"

    def describe(self) -> "FakeMerchant":
        self.act()
        return self

    def train(self, instruction: Instruction, arrays: SharedArrays) -> Answer:
        self.act()
        return Answer({name: array + 1 for name, array in arrays.items()}, ledger="a" * 64)

    def adopt(self, instruction: Instruction, arrays: SharedArrays) -> None:
        self.act()
        self.adopted = arrays


def content(**records: object) -> RecordDict:
    arrays = ArrayRecord({name: Array(array) for name, array in W.items()})
    return RecordDict({ARRAYS: arrays, INSTRUCTION: ConfigRecord(INSTRUCTION_RECORD), **records})  # type: ignore[arg-type]


def ask(merchant: FakeMerchant, message_type: str, sent: RecordDict) -> Message:
    def found(_: Context) -> FakeMerchant:
        return merchant

    grid = InProcessGrid(client_app(found), {"acme": {}})
    message = Message(sent, dst_node_id=grid.node_ids["acme"], message_type=message_type)
    (reply,) = grid.send_and_receive([message])
    return reply


def test_a_reply_holds_the_arrays_and_an_echo_and_nothing_else() -> None:
    reply = ask(FakeMerchant(), MessageType.TRAIN, content())
    assert set(reply.content) == {ARRAYS, REPORT}
    assert dict(reply.content.config_records[REPORT]) == {
        "version": 3,
        "lineage": "spring",
        "round": 1,
        "ledger": "a" * 64,
    }
    assert reply.content.array_records[ARRAYS]["w"].numpy().tolist() == [2.0, 3.0]


def test_a_merchant_that_is_asked_who_it_is_says_public_facts_only() -> None:
    reply = ask(FakeMerchant(), MessageType.QUERY, RecordDict())
    assert {name: dict(record) for name, record in reply.content.items()} == {
        REPORT: {"name": "acme", "tier": "small", "tasks": "bought,late", "role": "train"}
    }


def test_an_adoption_is_acknowledged_by_an_empty_reply() -> None:
    merchant = FakeMerchant()
    reply = ask(merchant, f"{MessageType.TRAIN}.adopt", content())
    assert not reply.has_error()
    assert len(reply.content) == 0
    assert merchant.adopted is not None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused(Refusal.CONFLICT, SECRET), Refusal.CONFLICT),
        (VersionMismatch(SECRET), Refusal.VERSION),
        (FingerprintMismatch(SECRET), Refusal.FINGERPRINT),
        (ConfigError("merchant.toml", "orders", SECRET, "a path"), Refusal.UNREADY),
        (DataError(SECRET), Refusal.UNREADY),
        (BudgetExhausted(SECRET), Refusal.BUDGET),
        (UnaccountedRelease(SECRET), Refusal.LEDGER),
        (StateError(SECRET), Refusal.FAILED),
        (OSError(28, SECRET), Refusal.FAILED),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("message_type", [MessageType.TRAIN, MessageType.QUERY, f"{MessageType.TRAIN}.adopt"])
def test_what_we_expect_to_go_wrong_leaves_as_a_code_without_text(
    error: Exception, code: Refusal, message_type: str
) -> None:
    def fail() -> None:
        raise error

    reply = ask(FakeMerchant(fail), message_type, content())
    assert reply.error.code == code
    assert reply.error.reason is None


@pytest.mark.parametrize("error", [MemoryError(SECRET), RuntimeError(SECRET)], ids=repr)
def test_that_nothing_could_be_made_of_a_release_stays_at_the_merchant(error: Exception) -> None:
    """Whoever makes the release could make it so that the fit fails where a certain shopper's row is."""

    def fail() -> None:
        raise error

    reply = ask(FakeMerchant(fail), f"{MessageType.TRAIN}.adopt", content())
    assert not reply.has_error()
    assert len(reply.content) == 0


@pytest.mark.parametrize("error", [MemoryError(SECRET), RuntimeError(SECRET)], ids=repr)
@pytest.mark.parametrize("message_type", [MessageType.TRAIN, MessageType.QUERY])
def test_whatever_goes_wrong_leaves_as_a_code_without_text(error: Exception, message_type: str) -> None:
    def fail() -> None:
        raise error

    reply = ask(FakeMerchant(fail), message_type, content())
    assert reply.error.code == Refusal.FAILED
    assert reply.error.reason is None


@pytest.mark.parametrize(
    "sent",
    [
        RecordDict(),
        RecordDict({INSTRUCTION: ConfigRecord(INSTRUCTION_RECORD)}),  # type: ignore[arg-type]
        RecordDict({ARRAYS: ArrayRecord({"w": Array(W["w"])})}),
    ],
    ids=["nothing", "no arrays", "no instruction"],
)
def test_a_message_without_its_parts_gets_a_code(sent: RecordDict) -> None:
    assert ask(FakeMerchant(), MessageType.TRAIN, sent).error.code == Refusal.FAILED


def test_a_message_of_another_version_gets_its_code() -> None:
    sent = content(**{INSTRUCTION: ConfigRecord({**INSTRUCTION_RECORD, "version": 1})})  # type: ignore[dict-item]
    assert ask(FakeMerchant(), MessageType.TRAIN, sent).error.code == Refusal.VERSION


@pytest.mark.parametrize(
    ("node", "key"),
    [
        ({}, "merchant"),
        ({"merchant": "m.toml"}, "contract"),
        ({"merchant": 3, "contract": "f.toml"}, "merchant"),
    ],
)
def test_a_node_without_its_files_is_told_which_key_is_missing(node: dict, key: str) -> None:
    with pytest.raises(ConfigError, match=f"node configuration: {key}"):
        merchant_for(node)


def test_a_seed_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="node configuration: seed"):
        merchant_for({"merchant": "m.toml", "contract": "f.toml", "seed": "7"})
