"""Real merchants, one of which fails: the round completes, the fault is named, the others' result stands."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from flwr.app import Array, ArrayRecord, Context, Message

from client.app import app
from client.state import load_round
from server.coordinator import RoundSummary
from shared_model import journal
from shared_model.protocol import ARRAYS, REPORT, SharedArrays
from simulations import federated
from simulations.federated import Site

from . import experiments
from .conftest import Disk

BAD = "synthetic-02"
GOOD = ["synthetic-01", "synthetic-03"]
SECRET = "row 17 of orders.parquet: Ms Rossi"


@dataclass
class Office:
    """The merchants' ClientApp; keeps what leaves it, and lets the bad merchant's reply be tampered with."""

    tamper: Callable[[Message], None] = lambda reply: None
    sent: list[Message] = field(default_factory=list)

    def __call__(self, message: Message, context: Context) -> Message:
        reply = app(message, context)
        if f"/{BAD}/" in str(context.node_config["merchant"]):
            self.tamper(reply)
        self.sent.append(reply)
        return reply


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Office:
    made = Office()
    monkeypatch.setattr(federated, "app", made)
    return made


def train(site: Site, directory: Path, **options: Any) -> SharedArrays:
    """Every merchant behind the ClientApp, where it can fail in every way."""
    return federated.train(site, directory=directory, lineage="spring", seed=0, engine="loop", **options)


def events(directory: Path, event: str) -> list[tuple[int, str, str]]:
    """Round, merchant and reason of every such line of the journal."""
    lines = [line for line in journal.read(directory / "journal.jsonl") if line["event"] == event]
    return [(line["round"], line["merchant"], line.get("reason", "")) for line in lines]


@pytest.fixture(scope="module")
def of_the_good_ones(tmp_path_factory: pytest.TempPathFactory) -> SharedArrays:
    """What the federation releases when the bad merchant never takes part."""
    folder = tmp_path_factory.mktemp("good")
    return train(experiments.site(folder), folder / "run", receivers=[BAD])


def reply_arrays(reply: Message) -> ArrayRecord:
    found: ArrayRecord = reply.content.array_records[ARRAYS]
    return found


def add_its_head(reply: Message) -> None:
    reply_arrays(reply)["heads.late.own.weight"] = Array(np.ones((1, 4), np.float32))


def send_nan(reply: Message) -> None:
    arrays = reply_arrays(reply)
    arrays["heads.late.prior.bias"] = Array(np.full_like(arrays["heads.late.prior.bias"].numpy(), np.nan))


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [(add_its_head, "unknown array heads.late.own.weight"), (send_nan, "not finite heads.late.prior.bias")],
    ids=["its head", "not a number"],
)
def test_a_reply_that_breaks_the_contract_is_named_and_does_not_enter(
    tmp_path: Path,
    office: Office,
    of_the_good_ones: SharedArrays,
    tamper: Callable[[Message], None],
    reason: str,
) -> None:
    office.tamper = tamper
    released = train(experiments.site(tmp_path), tmp_path / "run")
    assert events(tmp_path / "run", "reply_refused") == [(number, BAD, reason) for number in (1, 2, 3)]
    assert experiments.same(released, of_the_good_ones)


def test_a_merchant_whose_training_fails_sends_a_code_and_no_word(
    tmp_path: Path, office: Office, of_the_good_ones: SharedArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(SECRET)

    site = experiments.site(tmp_path)
    monkeypatch.setattr(site.merchant(BAD, 0).rounds, "train", fail)
    released = train(site, tmp_path / "run")
    assert events(tmp_path / "run", "reply_refused") == [(number, BAD, "FAILED") for number in (1, 2, 3)]
    assert experiments.same(released, of_the_good_ones)
    refusals = [reply.error for reply in office.sent if reply.has_error()]
    assert [error.reason for error in refusals] == [None, None, None]
    assert all(set(reply.content) == {ARRAYS, REPORT} for reply in office.sent if reply.has_content())
    assert "Rossi" not in (tmp_path / "run" / "journal.jsonl").read_text()


@pytest.fixture
def door() -> Iterator[threading.Event]:
    """Whoever waits for it is let go when the test ends."""
    opened = threading.Event()
    yield opened
    opened.set()


def test_a_merchant_that_hangs_is_missing_and_the_others_go_on(
    tmp_path: Path, of_the_good_ones: SharedArrays, monkeypatch: pytest.MonkeyPatch, door: threading.Event
) -> None:
    site = experiments.site(tmp_path, experiments.contract(federation={"deadline_seconds": 2.0}))
    monkeypatch.setattr(site.merchant(BAD, 0).rounds, "train", lambda *_: door.wait(60))
    released = train(site, tmp_path / "run")
    assert events(tmp_path / "run", "reply_missing") == [(number, BAD, "") for number in (1, 2, 3)]
    assert experiments.same(released, of_the_good_ones)


@dataclass(frozen=True, kw_only=True)
class Edited(Site):
    """A federation whose bad merchant holds another federation.toml."""

    edited: Path

    def node_config(self, name: str, seed: int) -> dict[str, str | int]:
        changed = {"contract": str(self.edited)} if name == BAD else {}
        return super().node_config(name, seed) | changed


def test_a_merchant_with_another_contract_is_named_and_does_not_train(
    tmp_path: Path, of_the_good_ones: SharedArrays
) -> None:
    honest, edited = experiments.site(tmp_path), tmp_path / "edited.toml"
    edited.write_text(tomli_w.dumps(experiments.contract(local={"learning_rate": 50.0})))
    site = Edited(contract=honest.contract, merchants=honest.merchants, edited=edited)
    released = train(site, tmp_path / "run")
    assert events(tmp_path / "run", "reply_refused") == [(number, BAD, "FINGERPRINT") for number in (1, 2, 3)]
    assert experiments.same(released, of_the_good_ones)


def test_a_merchant_whose_disk_is_full_misses_that_round_only(
    tmp_path: Path, small_disk: Callable[[Path], Disk]
) -> None:
    site = experiments.site(tmp_path)
    disk = small_disk(site.merchants[BAD].parent / "state" / "rounds")
    fingerprint, state = experiments.fingerprint(site.contract), disk.folder.parent
    between = {1: disk.fill, 2: disk.free}
    stored: list[int] = []

    def on_round(summary: RoundSummary) -> None:
        last = load_round(state, fingerprint, "spring")
        stored.append(last.round if last else 0)
        between.get(summary.round, lambda: None)()

    train(site, tmp_path / "run", on_round=on_round)
    assert events(tmp_path / "run", "reply_refused") == [(2, BAD, "FAILED")]
    assert stored == [1, 1, 3]  # nothing half-written of round 2 is ever read
    assert [path.suffix for path in disk.folder.iterdir()] == [".safetensors"]
