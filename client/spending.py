"""What a merchant's privacy ledger says: what was released, what it cost, what is left.

Computed from the ledger's events alone, as its limits count them, with independent accountants beside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared_model.privacy.accounting import cross_check
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.ledger import Charge, Limit, read_charges
from shared_model.privacy.limits import repetitions, spent, units
from shared_model.privacy.plan import Plan, plan_of
from shared_model.schema import Federation

from .config import MerchantConfig
from .private.ledgers import ledger_file, limits_of

COSTS_NOTHING = (
    "Serving heads, evaluation, the accept gate and every prediction are computed at home from what was "
    "released and from own rows, and nothing of them leaves; so they cost nothing and have no entry."
)
_TWO_UNITS = "releases of the units {} are in one ledger, and no epsilon holds for both"


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of one contract.

    Attributes:
        fingerprint: Of the contract.
        lineage: Of the training.
        unit: Whose presence is hidden.
        rounds: Charges for rounds; a round that was charged twice counts twice.
        statistics: Charges for statistics across shoppers, and for counts of items and weeks.
        epsilon: Of all of it, at the contract's delta.
    """

    fingerprint: str
    lineage: str
    unit: str
    rounds: int
    statistics: int
    epsilon: float


@dataclass(frozen=True, kw_only=True)
class Balance:
    """What one ledger says under one contract, in numbers.

    Attributes:
        delta: Of the contract; every epsilon here is at this delta.
        promised: The contract's epsilon for one whole plan.
        cap: The merchant's own largest epsilon over everything; None for none.
        spent: On this contract, in all its trainings.
        total: On everything in the ledger; None where no epsilon is that of all of it.
        no_total: Why there is no total, in words; empty where there is one.
        rounds_left: How many more rounds of this contract fit, counted up to those of a whole plan.
    """

    delta: float
    promised: float
    cap: float | None
    spent: float
    total: float | None
    no_total: str
    rounds_left: int


@dataclass(frozen=True, kw_only=True)
class Spending(Balance):
    """All of one ledger, held against one contract.

    Attributes:
        file: The ledger.
        simulated: Whether its noise can be repeated, as in a simulation; then it protects nobody.
        unit: Of the contract.
        trainings: In the order of their first charge.
        checked: What was spent on this contract by Opacus's accountants, name -> epsilon.
    """

    file: Path
    simulated: bool
    unit: str
    trainings: tuple[Training, ...]
    checked: dict[str, float]


def spending(config: MerchantConfig, federation: Federation, file: Path) -> Spending:
    """Return what the ledger at `file` says under a contract with privacy.

    Raises:
        ConfigError: The contract has no `[privacy]` table.
        StateError: The ledger was changed.
    """
    plan = plan_of(federation, config.tier)
    charges = read_charges(file)
    mine = _under(federation, charges)
    return Spending(
        **vars(_balance(config, federation, plan, charges)),
        file=file,
        simulated=file.name.startswith("simulated-"),
        unit=plan.unit,
        trainings=_trainings(charges, _everything(config, plan)),
        checked=dict(cross_check(_events(mine), plan.delta)) if mine else {},
    )


def balance(config: MerchantConfig, federation: Federation) -> Balance:
    """Return what a merchant's own ledger says under a contract with privacy (errors as in `spending`)."""
    charges = read_charges(ledger_file(config.ledger))
    return _balance(config, federation, plan_of(federation, config.tier), charges)


def ledgers(config: MerchantConfig) -> list[Path]:
    """Return the merchant's ledgers: its own, and those of simulations."""
    return sorted(config.ledger.glob("*.jsonl"))


def _balance(
    config: MerchantConfig, federation: Federation, plan: Plan, charges: Sequence[Charge]
) -> Balance:
    everything = _everything(config, plan)
    mixed = units(charges, everything)
    fitting = repetitions(charges, _round(federation, plan), limits_of(config, federation))
    return Balance(
        delta=plan.delta,
        promised=plan.epsilon,
        cap=config.privacy.max_epsilon,
        spent=spent(charges, Limit(plan.epsilon, plan.delta, federation.fingerprint)),
        total=spent(charges, everything) if len(mixed) < 2 else None,
        no_total=_TWO_UNITS.format(" and ".join(mixed)) if len(mixed) > 1 else "",
        rounds_left=min(plan.rounds, fitting),
    )


def _everything(config: MerchantConfig, plan: Plan) -> Limit:
    """The limit over all charges: the merchant's own cap, and without one as large as the contract's."""
    cap = config.privacy.max_epsilon
    return Limit(plan.epsilon if cap is None else cap, plan.delta)


def _under(federation: Federation, charges: Iterable[Charge]) -> list[Charge]:
    return [charge for charge in charges if charge.fingerprint == federation.fingerprint]


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


def _trainings(charges: Sequence[Charge], limit: Limit) -> tuple[Training, ...]:
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
                statistics=sum(charge.what in ("statistics", "counts") for charge in mine),
                epsilon=spent(mine, limit),
            )
        )
    return tuple(found)


def _events(charges: Iterable[Charge]) -> tuple[PrivacyEvent, ...]:
    return tuple(event for charge in charges for event in charge.events)
