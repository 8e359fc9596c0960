"""A whole run: rounds with attempts, a journal, a checkpoint after each, and going on after a stop."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from shared_model.errors import AggregationError, FingerprintMismatch, QuorumNotReached, StateError
from shared_model.journal import Journal
from shared_model.protocol import SharedArrays
from shared_model.schema import Federation

from . import checkpoint, private_aggregation, telemetry, wire
from .checkpoint import Checkpoint, Progress
from .config import RunSettings
from .open_round import needed
from .private_aggregation import NoiseOf
from .promise import promised
from .questions import Note, Sign, unsigned
from .roster import Roster
from .strategy import FederatedStrategy

JOURNAL = "journal.jsonl"
LOCK = "run.lock"
"""Held in the run directory by the ServerApp that works on it."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RoundSummary:
    """How a round ended.

    Attributes:
        round: From 1.
        rounds: Of the contract.
        asked: Number of merchants asked.
        accepted: Names whose updates were added.
        refused: Name -> why its reply was not used.
        missing: Names that did not answer.
        attempt: 1 where the first one reached the quorum.
        seconds: From the first question to the server step, checkpoint not included.
        ledgers: Name -> head of its ledger, of every merchant whose head is known.
        arrays: The new shared arrays; there once the checkpoint is.
    """

    round: int
    rounds: int
    asked: int
    accepted: tuple[str, ...]
    refused: Mapping[str, str]
    missing: tuple[str, ...]
    attempt: int
    seconds: float
    ledgers: Mapping[str, str] = field(default_factory=dict)
    arrays: SharedArrays = field(default_factory=dict)


def train(
    grid: Grid,
    federation: Federation,
    initial: SharedArrays,
    *,
    settings: RunSettings,
    roster: Roster,
    moved_by: Mapping[str, frozenset[str]],
    sign: Sign = unsigned,
    noise_of: NoiseOf = private_aggregation.secure,
    ledgers: Mapping[str, str] | None = None,
    on_round: Callable[[RoundSummary], None] | None = None,
) -> SharedArrays:
    """Train the shared arrays for the contract's rounds; go on where an earlier call stopped.

    A run that stopped after any round and is called again with the same arguments ends with the same
    arrays, bit for bit, as one that never stopped (`tests/server/test_coordinator.py`), where merchants'
    replies arrive in the same order; over a network the order varies, and with it the last bit of a sum.

    Args:
        grid: Reaches the merchants.
        federation: The contract.
        initial: Shared arrays before round 1; ignored where a checkpoint is found.
        settings: Where the run is kept and what it is called.
        roster: Who takes part.
        moved_by: Array -> the tasks that train it, for arrays that not every task trains.
        sign: Puts the coordinator's signature on an instruction.
        noise_of: Where the noise that protects merchants comes from (`[privacy.merchants]`); seeded in
            simulations only.
        ledgers: Heads of merchants' ledgers that earlier trainings left (`server.heads`).
        on_round: Is told of every completed round, after its checkpoint.

    Returns:
        The arrays to release: the last iterate, or the mean of the last half (`server.average`).

    Raises:
        QuorumNotReached: Too few usable replies, `attempts` times; the last checkpoint stands.
        AggregationError: The new arrays are not finite.
        BudgetExhausted: What protects merchants does not suffice for another round; the last checkpoint
            stands.
        FingerprintMismatch: The run directory holds a run of another contract.
        StateError: It holds another lineage, another model, or only damaged checkpoints.
        OSError: The disk is full; the last checkpoint stands.
    """
    directory, durable = settings.directory, settings.durable
    with (
        Journal(directory / JOURNAL, durable=durable) as journal,
        private_aggregation.opened(federation, directory, noise_of=noise_of, durable=durable) as layer,
    ):
        note = partial(_note, journal)
        initial = dict(initial)  # whoever made it may need no other
        progress = _begun(federation, initial, settings, note)
        initial.clear()
        progress = replace(progress, ledgers={**(ledgers or {}), **progress.ledgers})
        strategy = FederatedStrategy(
            federation,
            progress,
            lineage=settings.lineage,
            roster=roster,
            moved_by=moved_by,
            sign=sign,
            layer=layer,
            note=note,
        )
        _rest(strategy, directory)
        while strategy.progress.round < federation.federation.rounds:
            summary = _round(strategy, grid, federation, note)
            _save(federation, strategy.progress, settings, note)
            _rest(strategy, directory)
            if on_round:
                on_round(replace(summary, arrays=strategy.shared))
        note("run_finished", round=strategy.progress.round)
        return released(federation, strategy.progress)


def released(federation: Federation, progress: Progress) -> SharedArrays:
    """Return the arrays that a finished run gives to the merchants; those of `progress` are used up."""
    averaged = federation.server.average == "last_half" and progress.average.count
    found = progress.average.mean if averaged else progress.iterate
    return {name: wire.rounded({name: found.pop(name)})[name] for name in list(found)}


def _begun(federation: Federation, initial: SharedArrays, settings: RunSettings, note: Note) -> Progress:
    """Return where the run stands: at its last checkpoint, or at a new one of round 0.

    `initial` is used up, array by array, so that it is not there twice.
    """
    found = checkpoint.latest(settings.directory)
    if found is None:
        progress = Progress(
            round=0, iterate={name: initial.pop(name).astype(np.float64) for name in list(initial)}
        )
        note(
            "run_started",
            name=federation.federation.name,
            fingerprint=federation.fingerprint,
            lineage=settings.lineage,
            seed=settings.seed,
            rounds=federation.federation.rounds,
            privacy=promised(federation),
        )
        _save(federation, progress, settings, note)
        return progress
    _check_same_run(found, federation, initial, settings)
    note("resumed", round=found.progress.round)
    return found.progress


def _check_same_run(
    found: Checkpoint, federation: Federation, initial: SharedArrays, settings: RunSettings
) -> None:
    where: Path = settings.directory
    if found.fingerprint != federation.fingerprint:
        raise FingerprintMismatch(
            f"{where} holds a run of the contract {found.fingerprint[:12]}..., this one is "
            f"{federation.fingerprint[:12]}...: federation.toml was changed. Put the old file back, or begin "
            "a new run in another directory under a new lineage."
        )
    if found.lineage != settings.lineage:
        raise StateError(
            f"{where} holds lineage {found.lineage!r}, asked for {settings.lineage!r}. Use another directory "
            "for a new lineage."
        )
    shapes = {name: array.shape for name, array in found.progress.iterate.items()}
    if shapes != {name: array.shape for name, array in initial.items()}:
        raise StateError(
            f"{where} holds arrays of another model, although the contract is the same: the software was "
            "changed. Continue the run with the version that began it."
        )


def _round(strategy: FederatedStrategy, grid: Grid, federation: Federation, note: Note) -> RoundSummary:
    """Ask until a quorum answers, at most `attempts` times.

    Raises:
        QuorumNotReached: It never did.
    """
    terms, number, began = federation.federation, strategy.progress.round + 1, time.monotonic()
    for attempt in range(1, terms.attempts + 1):
        replies = grid.send_and_receive(  # nobody else holds the questions, and with them the arrays
            strategy.configure_train(number, strategy.arrays, ConfigRecord(), grid),
            timeout=terms.deadline_seconds,
        )
        if strategy.advance(replies):
            return _closed(strategy, federation, attempt, time.monotonic() - began, note)
        logger.warning("round %d missed its quorum, attempt %d of %d", number, attempt, terms.attempts)
    opened = strategy.opened
    asked, accepted = (len(opened.members), len(opened.accepted)) if opened else (0, 0)
    note("round_failed", round=number, asked=asked, accepted=accepted, attempts=terms.attempts)
    raise QuorumNotReached(
        f"Round {number} got {accepted} usable replies of {asked} merchants in {terms.attempts} attempts, "
        f"{needed(terms.quorum, asked)} are needed. The journal says why; start again to go on after round "
        f"{number - 1}."
    )


def _closed(
    strategy: FederatedStrategy, federation: Federation, attempt: int, seconds: float, note: Note
) -> RoundSummary:
    opened = strategy.opened
    if opened is None:
        raise AggregationError("There is no open round.")
    note(
        "round_closed",
        round=opened.instruction.round,
        accepted=sorted(opened.accepted),
        attempt=attempt,
        seconds=round(seconds, 6),
        **telemetry.facts(opened.told, federation),
    )
    return RoundSummary(
        round=opened.instruction.round,
        rounds=federation.federation.rounds,
        asked=len(opened.members),
        accepted=tuple(sorted(opened.accepted)),
        refused=dict(opened.refused),
        missing=tuple(opened.missing),
        attempt=attempt,
        seconds=seconds,
        ledgers=dict(strategy.progress.ledgers),
    )


def _rest(strategy: FederatedStrategy, directory: Path) -> None:
    """Make what the next round starts from, while what it is made of goes to rest, array by array."""
    resting = checkpoint.Resting(directory, strategy.progress)
    resting.moments()
    strategy.prepare(resting.iterate)


def _save(federation: Federation, progress: Progress, settings: RunSettings, note: Note) -> None:
    written = Checkpoint(fingerprint=federation.fingerprint, lineage=settings.lineage, progress=progress)
    path = checkpoint.save(
        settings.directory, written, keep=settings.keep_checkpoints, durable=settings.durable
    )
    note("checkpoint", round=progress.round, file=path.name)


def _note(journal: Journal, event: str, **facts: object) -> None:
    journal.append(event, at=datetime.now(UTC).isoformat(timespec="milliseconds"), **facts)
