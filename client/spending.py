"""What a merchant's privacy ledger says: what was released, what it cost, what is left.

Computed from the ledger's events alone, with a second, independent accountant beside the first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared_model.privacy.accounting import cross_check, epsilon
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Charge, read_charges
from shared_model.privacy.limits import repetitions
from shared_model.privacy.plan import Plan, plan_of
from shared_model.schema import Federation

from .config import MerchantConfig
from .private.ledgers import limits_of

COSTS_NOTHING = (
    "Serving heads, evaluation, the accept gate and every prediction are computed at home from what was "
    "released and from own rows, and nothing of them leaves; so they cost nothing and have no entry."
)


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of one contract.

    Attributes:
        fingerprint: Of the contract.
        lineage: Of the training.
        unit: Whose presence is hidden.
        rounds: Charges for rounds; a round that was charged twice counts twice.
        statistics: Charges for statistics across shoppers.
        epsilon: Of all of it, at the contract's delta.
    """

    fingerprint: str
    lineage: str
    unit: str
    rounds: int
    statistics: int
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class Spending:
    """All of one ledger, held against one contract.

    Attributes:
        file: The ledger.
        simulated: Whether its noise can be repeated, as in a simulation; then it protects nobody.
        unit: Of the contract.
        delta: Of the contract; every epsilon here is at this delta.
        promised: The contract's epsilon for one whole plan.
        cap: The merchant's own largest epsilon over everything; None for none.
        trainings: In the order of their first charge.
        spent: On this contract, in all its trainings.
        checked: The same by Opacus's accountants, name -> epsilon.
        total: On everything in the ledger.
        rounds_left: How many more rounds of this contract fit, counted up to those of a whole plan.
    """

    file: Path
    simulated: bool
    unit: str
    delta: float
    promised: float
    cap: float | None
    trainings: tuple[Training, ...]
    spent: float
    checked: dict[str, float]
    total: float
    rounds_left: int


def spending(config: MerchantConfig, federation: Federation, file: Path) -> Spending:
    """Return what the ledger at `file` says under a contract with privacy.

    Raises:
        ConfigError: The contract has no `[privacy]` table.
        StateError: The ledger was changed.
    """
    plan = plan_of(federation, config.tier)
    charges = read_charges(file)
    mine = [charge for charge in charges if charge.fingerprint == federation.fingerprint]
    cap = config.privacy.max_epsilon
    return Spending(
        file=file,
        simulated=file.name.startswith("simulated-"),
        unit=plan.unit,
        delta=plan.delta,
        promised=plan.epsilon,
        cap=cap,
        trainings=_trainings(charges, plan.delta),
        spent=epsilon(_events(mine), plan.delta),
        checked=dict(cross_check(_events(mine), plan.delta)) if mine else {},
        total=epsilon(_events(charges), plan.delta),
        rounds_left=min(
            plan.rounds, repetitions(charges, _round(federation, plan), limits_of(config, federation))
        ),
    )


def ledgers(config: MerchantConfig) -> list[Path]:
    """Return the merchant's ledgers: its own, and those of simulations."""
    return sorted(config.ledger.glob("*.jsonl"))


def _round(federation: Federation, plan: Plan) -> Charge:
    """A round of the plan, to ask whether it still fits."""
    return Charge(
        fingerprint=federation.fingerprint,
        lineage="",
        round=1,
        what="round",
        digest="",
        unit=plan.unit,
        events=plan.round_events(),
    )


def _trainings(charges: Sequence[Charge], delta: float) -> tuple[Training, ...]:
    keys = dict.fromkeys((charge.fingerprint, charge.lineage) for charge in charges)
    found = []
    for fingerprint, lineage in keys:
        mine = [c for c in charges if (c.fingerprint, c.lineage) == (fingerprint, lineage)]
        found.append(
            Training(
                fingerprint=fingerprint,
                lineage=lineage,
                unit=mine[0].unit,
                rounds=sum(charge.what == "round" for charge in mine),
                statistics=sum(charge.what == "statistics" for charge in mine),
                epsilon=epsilon(_events(mine), delta),
            )
        )
    return tuple(found)


def _events(charges: Iterable[Charge]) -> tuple[PrivacyEvent, ...]:
    return tuple(event for charge in charges for event in charge.events)
