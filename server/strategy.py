"""One round on Flower's `Strategy` interface: ask, check, add up, take the server step.

It derives from the abstract class rather than from Flower's FedAvg, which keeps all replies in memory and
lets one odd reply fail the whole run.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from shared_model import precision, protocol
from shared_model.errors import AggregationError, UnaccountedRelease
from shared_model.precision import PRECISIONS
from shared_model.protocol import Instruction, SharedArrays
from shared_model.row_blocks import schedule_of, travelling
from shared_model.schema import Federation
from shared_model.schema.checks import LEAST_ROWS

from . import aggregation, averaging, drawing, moved_rows, optimizers, questions, replies, telemetry
from .aggregation import Update
from .checkpoint import Progress
from .open_round import OpenRound, needed, sender
from .private_aggregation import MerchantLayer
from .questions import Note, Sign, unsigned
from .roster import Member, Roster
from .start import Start, start_of

logger = logging.getLogger(__name__)


CLOCKS_APART = 600.0
"""Seconds that a question outlives its deadline. Flower counts its age by the clocks of both sides, and lets
nodes in whose clock is five minutes off. Without an end a late merchant would work on stale rounds."""


class FederatedStrategy(Strategy):
    """Federated averaging with a server optimizer, for merchants that may fail or misbehave.

    Guarantees:
        * A reply enters the aggregate whole or not at all; a refused or missing one is named.
        * Memory does not grow with the number of merchants where the grid yields replies one at a time.
        * The numbers that shape the aggregate are the contract's: weights, optimizer, quorum.
        (`tests/server/test_strategy.py`, `tests/server/test_faults.py`)

    `server.coordinator.train` adds attempts, checkpoints and resumption around it. Under Flower's own
    `start` it works too: begin with `strategy.arrays`. A round that misses its quorum then changes nothing,
    and the next iteration asks the same round again; so the round that merchants see is
    `progress.round + 1`, whatever number Flower counts.
    """

    def __init__(
        self,
        federation: Federation,
        progress: Progress,
        *,
        lineage: str,
        roster: Roster,
        moved_by: Mapping[str, frozenset[str]],
        sign: Sign = unsigned,
        layer: MerchantLayer | None = None,
        note: Note = lambda event, **facts: None,
    ) -> None:
        """Continue from `progress`.

        Args:
            federation: The contract.
            progress: Where the run stands; round 0 with the initial arrays at the beginning.
            lineage: Of the run.
            roster: Who can be asked.
            moved_by: Array -> the tasks that train it, for arrays that not every task trains; such an array
                is averaged over the members that train one of them.
            sign: Puts the coordinator's signature on an instruction.
            layer: Protects merchants; the contract says whether there must be one.
            note: Is told what happens.

        Raises:
            UnaccountedRelease: The contract promises to protect merchants, and there is no layer.
        """
        if layer is None and federation.privacy is not None and federation.privacy.merchants is not None:
            raise UnaccountedRelease(
                "The contract has [privacy.merchants], and nothing would count what its rounds release: give "
                "the strategy a layer (`server.private_aggregation.opened`)."
            )
        self._layer = layer
        self._federation = federation
        self._lineage, self._roster, self._moved_by, self._note = lineage, roster, dict(moved_by), note
        self._sign = sign
        self._precision = PRECISIONS[federation.federation.precision]
        self._names_of: dict[frozenset[str], tuple[str, ...]] = {}
        self.progress = progress
        self._schedule = schedule_of(federation)
        self._started: tuple[aggregation.Arrays, Start] | None = None
        self._tables = () if layer else _tables_of(progress.iterate)
        self.opened: OpenRound | None = None

    @property
    def shared(self) -> SharedArrays:
        """The current shared arrays, whole and float32; read-only where they travel like that."""
        start = self._start_of(self.progress)
        if self._precision is PRECISIONS["float32"] and not self._schedule.tables:
            return start.arrays
        return precision.rounded(self.progress.iterate, PRECISIONS["float32"])

    def prepare(self, done: Callable[[str], None] = lambda name: None) -> None:
        """Make what the next round starts from.

        Args:
            done: Is told of each array of the iterate at which nobody looks from now on but the server step.
        """
        self._start_of(self.progress, done)

    @property
    def arrays(self) -> ArrayRecord:
        """The current shared arrays as they travel."""
        return self._start_of(self.progress).record

    def _start_of(self, progress: Progress, done: Callable[[str], None] = lambda name: None) -> Start:
        """Return what a round at `progress` starts from; it is made once."""
        if self._started is None or self._started[0] is not progress.iterate:
            rows = self._schedule.rows(progress.round + 1)  # of the last round and one more, too
            self._started = progress.iterate, start_of(progress.iterate, rows, self._precision, done)
        return self._started[1]

    def summary(self) -> None:
        """Log what the contract asks for."""
        terms, server = self._federation.federation, self._federation.server
        logger.info(
            "%s: round %d of %d, quorum %g, %s",
            terms.name,
            self.progress.round,
            terms.rounds,
            terms.quorum,
            server,
        )

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return one question per member that this round asks; they all share the bytes of the arrays.

        Raises:
            AggregationError: `arrays` are not this strategy's own.
        """
        start = self._start_of(self.progress)
        if not start.is_in(arrays):
            raise AggregationError(
                "The arrays are not those of the last round: start with `strategy.arrays`."
            )
        instruction = Instruction(
            fingerprint=self._federation.fingerprint,
            lineage=self._lineage,
            round=self.progress.round + 1,
            digest=start.digest,
        )
        terms = self._federation.federation
        members = drawing.drawn(
            questions.members_of(self._roster(grid), self._federation, self._note),
            terms.merchants_per_round,
            lineage=self._lineage,
            round_number=instruction.round,
        )
        lasts = terms.deadline_seconds + CLOCKS_APART
        contents = questions.contents(arrays, instruction, members.values(), self.progress, self._sign)
        messages = [
            Message(content, node, MessageType.TRAIN, group_id=str(instruction.round), ttl=lasts)
            for node, content in zip(members, contents, strict=True)
        ]
        self.opened = OpenRound(instruction, start.arrays, members, messages)
        asked = sorted(member.name for member in members.values())
        self._note("round_opened", round=instruction.round, asked=asked)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the usable replies up, one at a time, and take the server step.

        Returns:
            The new arrays, or None where too few replies were usable; and how many were accepted.

        Raises:
            AggregationError: No round is open, or the new arrays are not finite.
        """
        moved = self.advance(replies)
        opened = self._the_open_round()
        metrics = MetricRecord({"asked": len(opened.members), "accepted": len(opened.accepted)})
        return self.arrays if moved else None, metrics

    def advance(self, replies: Iterable[Message]) -> bool:
        """Do what `aggregate_train` does, but for what the next round starts from (`prepare`).

        Returns:
            Whether enough replies were usable.

        Raises:
            AggregationError: No round is open, or the new arrays are not finite.
        """
        opened = self._the_open_round()
        for reply in replies:
            self._take(opened, reply)
            del reply  # or it would stay alive while the next one is made
        number = opened.instruction.round
        for name in opened.missing:
            self._note("reply_missing", round=number, merchant=name)
        if len(opened.accepted) < needed(self._federation.federation.quorum, len(opened.members)):
            # What was answered was released, though it is not used: whoever answers again must know of it.
            self.progress = replace(self.progress, ledgers={**self.progress.ledgers, **opened.ledgers})
            return False
        self.progress = self._advanced(opened)
        return True

    def _the_open_round(self) -> OpenRound:
        if self.opened is None:
            raise AggregationError("There is no open round: call `configure_train` first.")
        return self.opened

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Ask nobody: a metric is a release, and merchants evaluate for themselves."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> None:
        """Nothing was asked."""

    def _take(self, opened: OpenRound, reply: Message) -> None:
        """Add one reply to the open round, or refuse it."""
        number = opened.instruction.round
        node = sender(opened, reply)
        if node is None:
            self._note("reply_refused", round=number, merchant="", reason="nobody asked for it")
            return
        member = opened.members[node]
        if node in opened.answered:
            self._note("reply_refused", round=number, merchant=member.name, reason="second reply")
            return
        opened.answered.add(node)
        checked = replies.check(
            reply,
            opened.instruction,
            opened.shapes,
            self._precision,
            private=self._federation.privacy is not None,
            told=len(telemetry.tasks_of(self._federation)),
        )
        if isinstance(checked, str):
            opened.refused[member.name] = checked
            self._note("reply_refused", round=number, merchant=member.name, reason=checked)
            return
        update = Update(checked.arrays, opened.start, self._precision)
        weight, names = self._counts(member)
        if self._layer is not None:
            weight *= self._layer.clip_factor(update, names)
        opened.total = aggregation.add(opened.total, update, weight=weight, names=names, tables=self._tables)
        opened.accepted.append(member.name)
        if checked.ledger:
            opened.ledgers[member.name] = checked.ledger
        if (sums := checked.arrays.get(protocol.TELEMETRY)) is not None:
            opened.told = telemetry.add(opened.told, sums, self._federation, member.tier)

    def _mean_update(self, opened: OpenRound) -> dict[str, Callable[[], moved_rows.Floats]]:
        """Return what makes the mean update of each array; with a layer that is a release, charged before."""
        if self._layer is None:
            return {
                name: partial(aggregation.mean_of, opened.total, name, opened.shapes[name])
                for name in opened.total.weights
            }
        asked = {member.name: self._counts(member) for member in opened.members.values()}
        instruction = opened.instruction
        update = self._layer.mean_update(instruction, opened.total.totals, asked, opened.shapes)
        self._note(
            "merchants_protected",
            round=instruction.round,
            noise_std=self._layer.noise_std(asked),
            epsilon=self._layer.spent(instruction.fingerprint),
        )
        return {name: partial(update.pop, name) for name in update}

    def _counts(self, member: Member) -> tuple[float, tuple[str, ...]]:
        """Return the weight of a member's update, and the arrays that it counts for."""
        return self._federation.tiers[member.tier].weight, self._trained_by(member)

    def _trained_by(self, member: Member) -> tuple[str, ...]:
        """Return the arrays that a member's update counts for."""
        if member.tasks not in self._names_of:
            self._names_of[member.tasks] = tuple(
                name
                for name in self.progress.iterate
                if name not in self._moved_by or self._moved_by[name] & member.tasks
            )
        return self._names_of[member.tasks]

    def _check_finite(self, iterate: aggregation.Arrays, number: int) -> None:
        """Require what a round moved to be finite as it travels."""
        moved = travelling(iterate, self._schedule.rows(number))
        for name, array in moved.items():
            if not np.isfinite(precision.rounded({name: array}, self._precision)[name]).all():
                raise AggregationError(f"Round {number} makes {name} infinite: lower the learning rates.")

    def _advanced(self, opened: OpenRound) -> Progress:
        """Return the progress after the open round.

        Raises:
            AggregationError: An array is not finite.
            BudgetExhausted: The round would cost more than what is left to protect merchants with.
        """
        options, rounds = self._federation.server, self._federation.federation.rounds
        number = opened.instruction.round
        mean = self._mean_update(opened)
        self._started = None  # what the round started from is not needed any more, here and there
        opened.forget()
        moments, iterate = moved_rows.step(
            self.progress.moments,
            self.progress.iterate,
            mean,
            self._schedule.rows(number),
            options,
            optimizers.learning_rate(options, round_number=number, rounds=rounds),
        )
        self._check_finite(iterate, number)
        average = self.progress.average
        if options.average == "last_half":
            average = averaging.include(average, iterate, round_number=number, rounds=rounds)
        answered = {**self.progress.answered, **dict.fromkeys(opened.accepted, number)}
        return Progress(
            round=number,
            iterate=iterate,
            moments=moments,
            average=average,
            answered=answered,
            ledgers={**self.progress.ledgers, **opened.ledgers},
        )


def _tables_of(arrays: aggregation.Arrays) -> tuple[str, ...]:
    """Return the arrays of which replies may change few rows: those of two dimensions with many rows."""
    return tuple(n for n, array in arrays.items() if array.ndim == 2 and len(array) >= LEAST_ROWS)
