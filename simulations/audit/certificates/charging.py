"""The charge is on the disk before the first number that it is for exists, and a spent budget stops training.

`client.private.rounds.PrivateRounds.train` runs on a ledger in a temporary folder; in the place of training
stands a witness, who reads the file from the disk the moment training would begin.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from client.private import rounds
from client.private.rounds import PrivateRounds
from shared_model.errors import Refused
from shared_model.model import MultiTaskModel, build
from shared_model.privacy import accounting
from shared_model.privacy.events import composed
from shared_model.privacy.ledger import Charge, Ledger, Limit, read_charges
from shared_model.protocol import Instruction

from ..findings import Finding
from ..subject import Subject
from .noise import nobody

_AFFORDABLE, _ASKED = 2, 4
"""Rounds that the budget allows, and rounds that are asked for."""


class _Rounds(PrivateRounds):
    """Real rounds of a merchant without data."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self._federation, self._plan, self._seed = subject.federation, subject.plan, 0
        self._role = "train"
        self._stream = lambda purpose, number: subject.generator("charging", purpose, str(number))
        self._nobody, self.file = nobody(subject.groups), folder / "ledger.jsonl"
        afforded = composed(subject.plan.round_events() * _AFFORDABLE)
        epsilon = accounting.epsilon(afforded, subject.plan.delta) * (1 + 1e-9)
        self._limits = [Limit(epsilon, subject.plan.delta, subject.federation.fingerprint)]

    def _rows_for(self, instruction: Instruction) -> Any:
        return self._nobody

    def _ledger(self, instruction: Instruction) -> Ledger:
        return Ledger(self.file, durable=False)


def charging(subject: Subject) -> tuple[Finding, ...]:
    """Return how often training began without its charge, with another one, or without a budget."""
    with tempfile.TemporaryDirectory() as folder:
        merchant = _Rounds(subject, Path(folder))
        seen = _witnessed(subject, merchant)
    events = subject.plan.round_events()
    return (
        Finding(
            name="charging.before",
            value=float(sum(number not in [c.round for c in charges] for number, charges in seen)),
            high=0.0,
            says="Rounds that began before their charge was on the disk.",
        ),
        Finding(
            name="charging.events",
            value=float(sum(any(c.events != events for c in charges) for _, charges in seen)),
            high=0.0,
            says="Rounds that were charged as something else than they are.",
        ),
        Finding(
            name="charging.stops",
            value=float(len(seen)),
            low=float(_AFFORDABLE),
            high=float(_AFFORDABLE),
            says=f"Rounds that began of {_ASKED} that were asked for, under a budget for {_AFFORDABLE}.",
        ),
    )


def _witnessed(subject: Subject, merchant: _Rounds) -> list[tuple[int, tuple[Charge, ...]]]:
    """Ask for rounds; return, for each that began, its number and the charges on the disk at that moment."""
    seen: list[tuple[int, tuple[Charge, ...]]] = []
    model = build(subject.federation, generator=subject.generator("charging"))
    for number in range(1, _ASKED + 1):
        instruction = Instruction(
            fingerprint=subject.federation.fingerprint, lineage="audit", round=number, digest=f"{number:064x}"
        )
        with _witness(lambda n=number: seen.append((n, read_charges(merchant.file)))):
            _ask(subject, merchant, model, instruction)
    return seen


def _ask(subject: Subject, merchant: _Rounds, model: MultiTaskModel, instruction: Instruction) -> None:
    try:
        subject.mechanism.train(merchant, model, instruction, {})
    except Refused:
        return


@contextmanager
def _witness(begun: Any) -> Iterator[None]:
    """Call `begun` where training would begin, and train nothing."""
    parts = vars(rounds)
    real = parts["train_private"]
    try:
        parts["train_private"] = lambda *arguments: begun()
        yield
    finally:
        parts["train_private"] = real
