"""The plan of a contract in figures: what is released, how loud, how that compares with what was measured.

Notation: M merchants asked in a round, n shoppers of each, N = M n, q sampling rate, K local steps, R rounds,
B divisor, C clipping norm, mu^2 the sum of (q / noise multiplier)^2 over all steps.

The signal index N / sqrt(M) says how much of the federation's signal the noise leaves: the sums of M
merchants add up to N shoppers, their noises to sqrt(M). It was measured on Olist with a `wide` bottom, K = 1,
q = 1 and R = 60 at epsilon 8; a plan with another mu is compared by N / sqrt(M) * mu / mu of that study.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from shared_model import traffic
from shared_model.errors import ConfigError
from shared_model.privacy import accounting, gaussian
from shared_model.privacy.calibration import calibrated
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.plan import GroupPlan, Plan, plan_of
from shared_model.privacy.words import too_likely
from shared_model.schema import Federation
from shared_model.traffic import Traffic

from ..private_aggregation import noise_multiplier

_STUDY = (8.0, 1e-6)
"""Epsilon and delta at which the signal index was measured."""

READINGS: tuple[tuple[float, str], ...] = (
    (0.0, "16 small sellers (340) lost to training alone on two of three tasks, and less was not measured"),
    (383.0, "delivery days was won, by small sellers too; bad reviews were level from 738 on, units behind"),
    (1212.0, "delivery days was won by small and large sellers; units was behind at 2,138, ahead at 2,986"),
    (2986.0, "delivery days was won, and units by federations of large sellers; bad reviews were level"),
)
"""From which index on what was seen on Olist, one marketplace with one split in time."""


@dataclass(frozen=True, kw_only=True)
class Assumed:
    """What only the reader of a plan can guess.

    Attributes:
        merchants: How many train; `federation.merchants_per_round` may ask fewer of them in a round.
        shoppers: How many the smallest of them has; None for the least of its tier.
    """

    merchants: int = 20
    shoppers: int | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """One clip group (`shared_model.privacy.plan.GroupPlan`).

    Attributes:
        name: Of the task, or `joint`.
        clipping_norm: C.
        sensitivity: C, or 2 C for rows of items.
        noise_multiplier: Noise over sensitivity.
        noise_std: On every coordinate of a merchant's sum.
        noise_on_mean: Standard deviation on every coordinate of the mean of all merchants' sums over a round,
            over C: 1 is as much as one shopper of one merchant can move a merchant's sum.
    """

    name: str
    clipping_norm: float
    sensitivity: float
    noise_multiplier: float
    noise_std: float
    noise_on_mean: float


@dataclass(frozen=True, kw_only=True)
class TierFacts:
    """The plan of the merchants of one tier that train.

    Attributes:
        tier: Its name.
        unit: Whose presence is hidden.
        sampling_rate: q.
        divisor: B.
        steps: K.
        rounds: R.
        groups: Clip groups.
        noise_multiplier: Of one step, all groups combined.
        statistics_multiplier: Of the statistics before the first round; None without.
        counts_std: Of the noise on the units of every item and week before the first round; None without.
        telemetry_std: Of the noise on a merchant's sum of losses, per task; None without.
        epsilon: What the whole plan costs, by the accounting that merchants' ledgers use ...
        delta: ... at this delta.
        cross_checks: What other accountants say of the same events.
        shoppers: n, assumed.
        index: N / sqrt(M).
        comparable: The index at which the study had as little noise.
        reading: What was seen there.
    """

    tier: str
    unit: str
    sampling_rate: float
    divisor: float
    steps: int
    rounds: int
    groups: tuple[Group, ...]
    noise_multiplier: float
    statistics_multiplier: float | None
    counts_std: float | None
    telemetry_std: float | None
    epsilon: float
    delta: float
    cross_checks: Mapping[str, float]
    shoppers: int
    index: float
    comparable: float
    reading: str


@dataclass(frozen=True, kw_only=True)
class MerchantFacts:
    """The second layer, `[privacy.merchants]`.

    Attributes:
        epsilon: Budget of the whole plan, for one merchant ...
        delta: ... at this delta.
        noise_multiplier: Of a round, over its sensitivity.
        noise_on_mean: Standard deviation on every coordinate of the mean update over the clipping norm, where
            all merchants have one weight.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    noise_on_mean: float


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan of a contract.

    Attributes:
        name: Of the federation.
        fingerprint: Of the contract.
        merchants: M: of those assumed, as many as a round asks.
        tiers: Of those that train.
        receiving: Names of the tiers that only receive.
        layer: None without `[privacy.merchants]`.
        traffic: Bytes of a merchant in a round, on average.
        warnings: In words; nothing where all is well.
    """

    name: str
    fingerprint: str
    merchants: int
    tiers: tuple[TierFacts, ...]
    receiving: tuple[str, ...]
    layer: MerchantFacts | None
    traffic: Traffic
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Calculation:
    """The noise that a budget needs, without a contract.

    Attributes:
        sampling_rate: q.
        steps: K R.
        noise_multiplier: The smallest that keeps to the budget.
        noise_on_mean: Standard deviation on every coordinate of a step's sum over C, over B.
        epsilon: What it costs ...
        delta: ... at this delta.
        cross_checks: What other accountants say of the same events.
        warnings: In words.
    """

    sampling_rate: float
    steps: int
    noise_multiplier: float
    noise_on_mean: float
    epsilon: float
    delta: float
    cross_checks: Mapping[str, float]
    warnings: tuple[str, ...]


def planned(federation: Federation, assumed: Assumed, *, cross_check: bool = True) -> Planned:
    """Return the plan of every tier that trains.

    Args:
        federation: The contract.
        assumed: Merchants and shoppers.
        cross_check: Ask Opacus's accountants too, which takes seconds.

    Raises:
        ConfigError: The contract has no `[privacy]` table.
    """
    if federation.privacy is None:
        raise ConfigError(
            "federation.toml", "privacy", None, "a [privacy] table; without one nothing is planned"
        )
    assumed = replace(assumed, merchants=federation.federation.asked(assumed.merchants))
    training = [name for name, tier in federation.tiers.items() if tier.role == "train"]
    tiers = tuple(
        _tier(plan_of(federation, name), federation.tiers[name].shoppers, assumed, cross_check)
        for name in training
    )
    return Planned(
        name=federation.federation.name,
        fingerprint=federation.fingerprint,
        merchants=assumed.merchants,
        tiers=tiers,
        receiving=tuple(name for name in federation.tiers if name not in training),
        layer=_layer(federation, assumed),
        traffic=traffic.of_contract(federation),
        warnings=_warnings(federation, assumed),
    )


def calculation(
    *,
    epsilon: float,
    delta: float,
    rounds: int,
    local_steps: int,
    batch: int,
    smallest: int | None,
    cross_check: bool = True,
) -> Calculation:
    """Return the noise multiplier of one joint clip group without statistics or telemetry.

    Args:
        epsilon: Budget.
        delta: Of the same guarantee.
        rounds: R.
        local_steps: K.
        batch: B, expected units of a step.
        smallest: Units of the smallest merchant, whose sampling rate is the largest; None for full batches.
        cross_check: As with `planned`.
    """
    q = min(1.0, batch / smallest) if smallest else 1.0
    steps = rounds * local_steps
    unscaled = PrivacyEvent(sampling_rate=q, noise_multiplier=1.0, count=steps)
    multiplier = calibrated((unscaled,), epsilon=epsilon, delta=delta)
    events = (PrivacyEvent(sampling_rate=q, noise_multiplier=multiplier, count=steps),)
    return Calculation(
        sampling_rate=q,
        steps=steps,
        noise_multiplier=multiplier,
        noise_on_mean=multiplier / batch,
        epsilon=accounting.epsilon(events, delta),
        delta=delta,
        cross_checks=_checks(events, delta, cross_check),
        warnings=_warning_of_delta(delta, smallest or 0),
    )


def signal_index(merchants: int, shoppers: int) -> float:
    """Return N / sqrt(M).

    >>> signal_index(16, 85)
    340.0
    """
    return merchants * shoppers / math.sqrt(merchants)


def reading(index: float) -> str:
    """Return what was seen on Olist at a comparable index (`READINGS`)."""
    return next(said for least, said in reversed(READINGS) if index >= least)


def _tier(plan: Plan, least: int, assumed: Assumed, cross_check: bool) -> TierFacts:
    shoppers = assumed.shoppers or least
    index = signal_index(assumed.merchants, shoppers)
    comparable = index * _mu(plan.events()) / gaussian.mu_at(*_STUDY)
    return TierFacts(
        tier=plan.tier,
        unit=plan.unit,
        sampling_rate=plan.sampling_rate,
        divisor=plan.divisor,
        steps=plan.steps,
        rounds=plan.rounds,
        groups=tuple(_group(group, plan, assumed) for group in plan.groups),
        noise_multiplier=plan.noise_multiplier,
        statistics_multiplier=plan.statistics_multiplier,
        counts_std=plan.counts.noise_std if plan.counts else None,
        telemetry_std=plan.telemetry.noise_std if plan.telemetry else None,
        epsilon=accounting.epsilon(plan.events(), plan.delta),
        delta=plan.delta,
        cross_checks=_checks(plan.events(), plan.delta, cross_check),
        shoppers=shoppers,
        index=index,
        comparable=comparable,
        reading=reading(comparable),
    )


def _group(group: GroupPlan, plan: Plan, assumed: Assumed) -> Group:
    return Group(
        name=group.name,
        clipping_norm=group.clipping_norm,
        sensitivity=group.sensitivity,
        noise_multiplier=group.noise_multiplier,
        noise_std=group.noise_std,
        noise_on_mean=group.noise_std * math.sqrt(plan.steps / assumed.merchants) / group.clipping_norm,
    )


def _mu(events: Sequence[PrivacyEvent]) -> float:
    return math.sqrt(math.fsum(e.count * (e.sampling_rate / e.noise_multiplier) ** 2 for e in events))


def _checks(events: Sequence[PrivacyEvent], delta: float, wanted: bool) -> dict[str, float]:
    moments = {"renyi": accounting.renyi_epsilon(events, delta)}
    return {**moments, **accounting.cross_check(events, delta)} if wanted else moments


def _layer(federation: Federation, assumed: Assumed) -> MerchantFacts | None:
    policy = federation.privacy.merchants if federation.privacy is not None else None
    if policy is None:
        return None
    multiplier = noise_multiplier(policy, federation.federation.rounds)
    return MerchantFacts(
        epsilon=policy.epsilon,
        delta=policy.delta,
        noise_multiplier=multiplier,
        noise_on_mean=multiplier / assumed.merchants,
    )


def _warnings(federation: Federation, assumed: Assumed) -> tuple[str, ...]:
    policy = federation.privacy
    assert policy is not None  # for the type checker: `planned` saw to it
    found = [*_warning_of_delta(policy.delta, assumed.shoppers or 0)]
    if federation.bottom.architecture != "wide":
        found.append(
            f"The index was measured with a wide bottom. A {federation.bottom.architecture} bottom has more "
            "parameters, so the same noise costs more; how much was not measured here."
        )
    return tuple(found)


def _warning_of_delta(delta: float, shoppers: int) -> tuple[str, ...]:
    warning = too_likely(delta, shoppers)
    return (warning,) if warning else ()
