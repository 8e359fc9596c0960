"""Private rounds at a merchant: charge, then train, then release.

Order of one round: the ledger holds the charge, on the disk, before the first number that the charge is for
exists. The reply is stored before it is sent (`client/merchant.py`), so a round asked again is answered with
the same bytes and costs nothing. A round that was charged and whose reply is not there is charged again:
nobody can tell whether the state is an old copy of one that answered.
"""

import logging
from collections.abc import Callable
from typing import Literal, NamedTuple

from client.config import MerchantConfig
from client.data import crowds
from client.data.counts import Counts, counts_file, load_counts, noised_counts, save_counts
from client.data.examples import PrivateExamples
from client.data.private_build import read_counts
from client.data.private_checks import check_private_split, has_assortment, private_tasks
from client.data.private_rows import PrivateRows, private_rows, shoppers_in_training
from client.data.statistics import (
    Statistics,
    exact_statistics,
    load_statistics,
    noised,
    save_statistics,
    statistics_file,
)
from client.rounds import Stream, Trained
from client.weighting import Memory
from shared_model import schema
from shared_model.errors import BudgetExhausted, DataError, Refused
from shared_model.model import MultiTaskModel
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Charge, Ledger, read_charges
from shared_model.privacy.plan import Plan, plan_of
from shared_model.protocol import TELEMETRY, Instruction, Refusal
from shared_model.schema import Federation

from .ledgers import ledger_file, limits_of
from .noise import Noise, SecureNoise, SeededNoise
from .training import train_private

_log = logging.getLogger(__name__)


What = Literal["statistics", "counts", "round"]
_EVENTS: dict[What, Callable[[Plan], tuple[PrivacyEvent, ...]]] = {
    "statistics": Plan.statistics_events,
    "counts": Plan.counts_events,
    "round": Plan.round_events,
}


class Charged(NamedTuple):
    """A round that the ledger holds.

    Attributes:
        plan: What it may release.
        rows: To train on.
        noise: Of sampling and of steps.
        head: Of the ledger, with the charge.
    """

    plan: Plan
    rows: PrivateExamples
    noise: Noise
    head: str


class PrivateRounds:
    """Rounds with privacy (the interface is `client.rounds.Rounds`).

    Guarantees:
        * Nothing that was released is missing in the ledger (`tests/client/private/test_rounds.py`).
        * No round is trained that would exceed the contract's budget or the merchant's cap.
        * Where a seed is given the noise can be repeated and protects nobody; the ledger says so.
    """

    def __init__(
        self, config: MerchantConfig, federation: Federation, stream: Stream, *, seed: int | None
    ) -> None:
        """Check that this merchant may take part.

        Raises:
            ConfigError: Its file splits its rows by a date that one shopper can move.
            DataError: It has fewer shoppers than the tier that it declares.
        """
        self._config, self._federation, self._stream, self._seed = config, federation, stream, seed
        self._role = config.role
        self._plan = plan_of(federation, config.tier)
        self._limits = limits_of(config, federation)
        self._rows: tuple[str, PrivateRows] | None = None
        if self._role == "train":
            check_private_split(config)
            self._check_size()

    def tasks(self) -> frozenset[str]:
        """Return the common tasks that the merchant's file declares; its rows do not decide."""
        return private_tasks(self._config, self._federation) - self._config.own_tasks

    def check(self, instruction: Instruction) -> None:
        """Refuse an instruction to a merchant that only receives, or whose ledger was rolled back.

        Raises:
            Refused: See above.
        """
        self._refuse_to_release()
        with self._ledger(instruction) as ledger:
            _refuse_older(ledger, instruction)

    def train(self, model: MultiTaskModel, instruction: Instruction, memory: Memory) -> Trained:
        """Charge the round, then train it in place; nothing is remembered that was computed from rows.

        The ledger is opened once, for a moment: another federation of the shop may share it.

        Raises:
            Refused: As in `check`, or the budget is spent; nothing was trained.
            UnaccountedRelease: The ledger cannot be written; the same holds.
        """
        charged = self.charge(instruction)
        told = train_private(model, charged.rows, self._federation, self._plan, charged.noise)
        return Trained(charged.head, {} if told is None else {TELEMETRY: told.numpy()}, {})

    def charge(self, instruction: Instruction) -> "Charged":
        """Charge a round, and return what it may then be trained from (errors as in `train`)."""
        self._refuse_to_release()
        rows = self._rows_for(instruction)
        head = self._charge(instruction, "round")
        noise = self._noise(f"noise/{instruction.lineage}", instruction.round)
        return Charged(self._plan, rows, noise, head)

    def _refuse_to_release(self) -> None:
        if self._role == "receive":
            raise Refused(Refusal.RECIPIENT, "this merchant only receives; it releases nothing")

    def _charge(self, instruction: Instruction, what: What) -> str:
        """Write a charge, unless the ledger is an older copy, and return the ledger's head."""
        events = _EVENTS[what](self._plan)
        charge = Charge(
            fingerprint=instruction.fingerprint,
            lineage=instruction.lineage,
            round=instruction.round if what == "round" else 0,
            what=what,
            digest=instruction.digest,
            unit=self._plan.unit,
            events=events,
        )
        try:
            with self._ledger(instruction) as ledger:
                _refuse_older(ledger, instruction)
                ledger.charge(charge, self._limits)
                return ledger.head
        except BudgetExhausted as error:
            raise Refused(Refusal.BUDGET, str(error)) from error

    def _rows_for(self, instruction: Instruction) -> PrivateRows:
        """Return the rows of a training; its statistics are released, and charged, once."""
        training = f"{instruction.fingerprint}/{instruction.lineage}"
        if self._rows is None or self._rows[0] != training:
            self._note_what_stays(instruction)
            known = self._statistics(instruction), self._counts(instruction)
            self._rows = training, private_rows(self._config, self._federation, *known)
            if crowd := self._rows[1].crowd:
                _log.warning("%s", crowds.warning(crowd, self._config))
        return self._rows[1]

    def _note_what_stays(self, instruction: Instruction) -> None:
        """Write into the ledger, once, which tasks on rows of items release nothing, and why."""
        why = dict.fromkeys(schema.with_labels(self._federation, "at_home"), "labels = at_home")
        if not has_assortment(self._config):
            noised = schema.with_labels(self._federation, "noised")
            why |= dict.fromkeys(noised, "labels = noised, and no [items] table that orders do not decide")
        for task, reason in why.items():
            line = (
                f"{task}: no part in private rounds ({reason}), since its rows mix shoppers; its head is "
                "fitted on the shop's own rows after the release and stays here"
            )
            with self._ledger(instruction) as ledger:
                if line not in {entry.reason for entry in ledger.entries}:
                    ledger.note(line)

    def _statistics(self, instruction: Instruction) -> Statistics | None:
        if self._plan.statistics_multiplier is None or self._config.table is not None:
            return None  # a ready table has none, so nothing is released
        file = statistics_file(self._config.state, instruction)
        found = load_statistics(file)
        if found is None:
            self._charge(instruction, "statistics")
            noise = self._noise(f"statistics/{instruction.lineage}", 0)
            found = noised(
                exact_statistics(self._config, self._federation), self._plan.statistics_multiplier, noise
            )
            save_statistics(file, found)
        return found

    def _counts(self, instruction: Instruction) -> Counts | None:
        plan = self._plan.counts
        tasks = private_tasks(self._config, self._federation)
        if plan is None or not tasks & set(schema.with_labels(self._federation, "noised")):
            return None  # nothing here reads them, so nothing is released
        file = counts_file(self._config.state, instruction)
        found = load_counts(file)
        if found is None:
            self._charge(instruction, "counts")
            noise = self._noise(f"counts/{instruction.lineage}", 0)
            found = noised_counts(read_counts(self._config, self._federation), plan, noise)
            save_counts(file, found)
        return found

    def _ledger(self, instruction: Instruction) -> Ledger:
        path = ledger_file(self._config.ledger, seed=self._seed, lineage=instruction.lineage)
        return Ledger(path, durable=self._seed is None)

    def _noise(self, purpose: str, number: int) -> Noise:
        return SecureNoise() if self._seed is None else SeededNoise(self._stream(purpose, number))

    def _has_begun(self) -> bool:
        """Whether anything was released under this contract; a simulation begins with every training."""
        file = ledger_file(self._config.ledger)
        mine = self._federation.fingerprint
        return self._seed is None and any(charge.fingerprint == mine for charge in read_charges(file))

    def _check_size(self) -> None:
        """A merchant smaller than it says would add more noise than its weight in the aggregate is made for.

        Its shoppers would be protected as well as anybody's: no guarantee counts them. That it refuses tells
        its size at the edge of a tier, which is outside the promise (docs/privacy.md). So it is asked once,
        before the first release: somebody who asks to be forgotten later must not silence the merchant.
        """
        if self._has_begun():
            return
        found = shoppers_in_training(self._config, self._federation)
        least = self._federation.tiers[self._config.tier].shoppers
        if found < least:
            raise DataError(
                f"{self._config.file}: {found} shoppers train, and the tier {self._config.tier!r} means "
                f"{least} or more. Declare a smaller tier in merchant.tier, or only receive: "
                'merchant.role = "receive".'
            )


def _refuse_older(ledger: Ledger, instruction: Instruction) -> None:
    if not ledger.holds(instruction.ledger):
        reason = "the coordinator holds a ledger head that this ledger does not contain; it is an old copy"
        raise Refused(Refusal.LEDGER, reason)
