"""From the contract to the mechanism that a merchant of one tier runs: public constants, nothing else.

The budget is divided in the precision of the noise, which is what adds up under full batches: a share s of
the budget means that a part of the release has the fraction s of the plan's total mu^2, where mu^2 is the
sum of 1 / noise multiplier^2 over everything released (Dong, Roth, Su 2022, corollary 3.3). Under sampling
the same rule divides q^2 / noise multiplier^2; what the whole plan then costs is computed, not assumed.

Notation: q sampling rate, K local steps, R rounds, C clipping norm, s shares.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from shared_model import library, schema
from shared_model.errors import ConfigError

from .calibration import calibrated
from .events import PrivacyEvent, combined

JOINT = "joint"
"""Name of the one clip group of a bottom whose parameters serve several tasks."""


@dataclass(frozen=True, kw_only=True)
class GroupPlan:
    """One clip group of every step.

    Attributes:
        name: The task it belongs to, or `JOINT`.
        clipping_norm: C, of one unit's gradient over the group's parameters.
        sensitivity: By how much the sum moves at most without one shopper: C, or 2C for rows of items.
        noise_multiplier: Standard deviation of the noise over the sensitivity.
    """

    name: str
    clipping_norm: float
    sensitivity: float
    noise_multiplier: float

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on every coordinate of the sum."""
        return self.noise_multiplier * self.sensitivity


@dataclass(frozen=True, kw_only=True)
class CountsPlan:
    """The noised units per item and week, released once before the first round.

    Attributes:
        lines: A unit counts in at most so many pairs of item and week ...
        quantity: ... with at most so many units in each.
        noise_multiplier: Standard deviation of the noise over the sensitivity.
    """

    lines: int
    quantity: float
    noise_multiplier: float

    @property
    def sensitivity(self) -> float:
        """Of all sums together, in L2."""
        return self.quantity * math.sqrt(self.lines)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on every sum."""
        return self.noise_multiplier * self.sensitivity


@dataclass(frozen=True, kw_only=True)
class TelemetryPlan:
    """The noised sum of losses of every round.

    Attributes:
        tasks: One coordinate each, in this order.
        bound: Every unit's loss is cut to [0, bound], each task's alone.
        noise_multiplier: Standard deviation of the noise over the sensitivity.
    """

    tasks: tuple[str, ...]
    bound: float
    noise_multiplier: float

    @property
    def sensitivity(self) -> float:
        """Of the sum, in L2: one shopper moves every coordinate by at most `bound`."""
        return self.bound * math.sqrt(len(self.tasks))

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on every coordinate of the sum."""
        return self.noise_multiplier * self.sensitivity


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a merchant of one tier releases in one training of the contract, and with how much noise.

    Attributes:
        tier: Its name.
        unit: `shopper` or `record`.
        max_records: k, at most so many records of a unit count, of each kind of row.
        epsilon: Promised for the whole plan ...
        delta: ... at this delta.
        sampling_rate: q.
        steps: K, steps in a round.
        rounds: R.
        divisor: B, of every sum.
        learning_rate: Of every step.
        groups: Clip groups of a step; all of them see the same sample.
        told: Tasks whose rows follow from the counts that were released: under a wide bottom groups of their
            own without noise, which cost nothing.
        statistics_multiplier: Noise multiplier of the statistics across shoppers, released once before the
            first round; None where there are none.
        counts: Of items and weeks, for tasks with noised labels; None without any.
        telemetry: None without it.
    """

    tier: str
    unit: str
    max_records: int
    epsilon: float
    delta: float
    sampling_rate: float
    steps: int
    rounds: int
    divisor: float
    learning_rate: float
    groups: tuple[GroupPlan, ...]
    statistics_multiplier: float | None
    told: tuple[GroupPlan, ...] = ()
    counts: CountsPlan | None = None
    telemetry: TelemetryPlan | None

    @property
    def noise_multiplier(self) -> float:
        """Of one step: all clip groups together are one mechanism, since they see one sample."""
        return combined(group.noise_multiplier for group in self.groups)

    def statistics_events(self) -> tuple[PrivacyEvent, ...]:
        """Return what is released before the first round."""
        if self.statistics_multiplier is None:
            return ()
        return (PrivacyEvent(sampling_rate=1.0, noise_multiplier=self.statistics_multiplier),)

    def counts_events(self) -> tuple[PrivacyEvent, ...]:
        """Return what is released of items and weeks, before the first round."""
        if self.counts is None:
            return ()
        return (PrivacyEvent(sampling_rate=1.0, noise_multiplier=self.counts.noise_multiplier),)

    def round_events(self) -> tuple[PrivacyEvent, ...]:
        """Return what one round releases. Telemetry looks at the units of the first step."""
        q, step = self.sampling_rate, self.noise_multiplier
        if self.telemetry is None:
            return (PrivacyEvent(sampling_rate=q, noise_multiplier=step, count=self.steps),)
        first = PrivacyEvent(
            sampling_rate=q, noise_multiplier=combined([step, self.telemetry.noise_multiplier])
        )
        if self.steps == 1:
            return (first,)
        return (first, PrivacyEvent(sampling_rate=q, noise_multiplier=step, count=self.steps - 1))

    def events(self) -> tuple[PrivacyEvent, ...]:
        """Return what the whole plan releases."""
        repeated = (
            PrivacyEvent(
                sampling_rate=e.sampling_rate,
                noise_multiplier=e.noise_multiplier,
                count=e.count * self.rounds,
            )
            for e in self.round_events()
        )
        return (*self.statistics_events(), *self.counts_events(), *repeated)


def plan_of(federation: schema.Federation, tier: str) -> Plan:
    """Return the plan of a merchant that declares `tier`.

    Guarantee: the plan costs at most the contract's epsilon at its delta
    (`tests/shared_model/privacy/test_plan.py`).

    Raises:
        ConfigError: The contract has no `[privacy]` table or no such tier.
    """
    if federation.privacy is None:
        raise ConfigError("federation.toml", "privacy", None, "a [privacy] table")
    if tier not in federation.tiers:
        raise ConfigError("federation.toml", f"tiers.{tier}", None, f"one of {', '.join(federation.tiers)}")
    relative = _relative(federation, tier)
    return _scaled(relative, _factor(relative.events(), relative.epsilon, relative.delta))


@lru_cache(maxsize=256)
def _factor(events: tuple[PrivacyEvent, ...], epsilon: float, delta: float) -> float:
    """Merchants of one tier have one plan, and working it out may take seconds."""
    return calibrated(events, epsilon=epsilon, delta=delta)


def sampling_rate(federation: schema.Federation, tier: schema.Tier) -> float:
    """Return q of a tier: 1 with full batches, else its own, else `expected_batch` of its least size."""
    if federation.federation.full_batch:
        return 1.0
    if tier.sampling_rate is not None:
        return tier.sampling_rate
    return min(1.0, (tier.expected_batch or federation.federation.expected_batch) / tier.shoppers)


def trained_tasks(federation: schema.Federation) -> tuple[str, ...]:
    """Return the contract's tasks that train in private rounds.

    The choice of an item does not: its catalogue is computed across shoppers. Under a wide bottom a task with
    a head of the merchant's own only has nothing to share. Others the contract itself leaves at home.
    """
    wide, at_home = isinstance(federation.bottom, schema.Wide), schema.with_labels(federation, "at_home")
    return tuple(
        name
        for name, task in sorted(federation.tasks.items())
        if not isinstance(task, schema.Retrieval)
        and not (wide and task.head == "local")
        and name not in at_home
    )


def clipped_tasks(federation: schema.Federation) -> tuple[str, ...]:
    """Return those of `trained_tasks` that train on shoppers' rows, and not on what was told before."""
    noised = schema.with_labels(federation, "noised")
    return tuple(task for task in trained_tasks(federation) if task not in noised)


def _relative(federation: schema.Federation, name: str) -> Plan:
    """The plan whose step has noise multiplier 1; only the proportions are right."""
    policy, tier, terms = federation.privacy, federation.tiers[name], federation.federation
    assert policy is not None  # for the type checker: `plan_of` saw to it
    q, steps = sampling_rate(federation, tier), terms.local_steps * terms.rounds
    told = policy.telemetry
    noised = _noised_share(federation, policy)
    of_tasks = 1.0 - policy.statistics - (told.share if told else 0.0)
    rest = of_tasks * (1.0 - noised)
    statistics = math.sqrt(rest / (policy.statistics * steps)) / q if policy.statistics else None
    telemetry = None if told is None else _telemetry(federation, told, rest)
    return Plan(
        tier=name,
        unit=policy.unit,
        max_records=policy.max_records,
        epsilon=policy.epsilon,
        delta=policy.delta,
        sampling_rate=q,
        steps=terms.local_steps,
        rounds=terms.rounds,
        divisor=float(tier.expected_batch or terms.expected_batch),
        learning_rate=tier.learning_rate or federation.local.learning_rate,
        groups=_groups(federation, policy),
        told=_told(federation, policy),
        statistics_multiplier=statistics,
        counts=_counts(federation, policy, math.sqrt((1 - noised) / (noised * steps)) / q if noised else 0.0),
        telemetry=telemetry,
    )


def _telemetry(federation: schema.Federation, told: schema.Telemetry, rest: float) -> TelemetryPlan:
    """Released once a round, beside K steps that have the share `rest` of the budget together."""
    return TelemetryPlan(
        tasks=trained_tasks(federation),
        bound=told.bound,
        noise_multiplier=math.sqrt(rest / (told.share * federation.federation.local_steps)),
    )


def _groups(federation: schema.Federation, policy: schema.Privacy) -> tuple[GroupPlan, ...]:
    """Clip groups whose noise multipliers combine to 1."""
    if not isinstance(federation.bottom, schema.Wide):
        norm = policy.clipping_norm
        return (GroupPlan(name=JOINT, clipping_norm=norm, sensitivity=norm, noise_multiplier=1.0),)
    declared = {t: policy.tasks.get(t, schema.TaskPrivacy()) for t in clipped_tasks(federation)}
    total = sum(group.share for group in declared.values())
    return tuple(
        _group(federation, policy, task, group, group.share / total) for task, group in declared.items()
    )


def _told(federation: schema.Federation, policy: schema.Privacy) -> tuple[GroupPlan, ...]:
    """Groups of the tasks with noised labels under a wide bottom: nobody's presence moves their sums."""
    if not isinstance(federation.bottom, schema.Wide):
        return ()
    norms = {t: policy.tasks[t].clipping_norm or policy.clipping_norm for t in _noised_tasks(federation)}
    return tuple(
        GroupPlan(name=task, clipping_norm=norm, sensitivity=0.0, noise_multiplier=0.0)
        for task, norm in norms.items()
    )


def _noised_tasks(federation: schema.Federation) -> list[str]:
    noised = schema.with_labels(federation, "noised")
    return [task for task in trained_tasks(federation) if task in noised]


def _noised_share(federation: schema.Federation, policy: schema.Privacy) -> float:
    """Return the share of the counts in what the tasks have together."""
    shares = {t: policy.tasks.get(t, schema.TaskPrivacy()).share for t in trained_tasks(federation)}
    return sum(shares[task] for task in _noised_tasks(federation)) / sum(shares.values()) if shares else 0.0


def _counts(
    federation: schema.Federation, policy: schema.Privacy, noise_multiplier: float
) -> CountsPlan | None:
    tasks = _noised_tasks(federation)
    if not tasks:
        return None
    terms = policy.tasks[tasks[0]]  # of all noised tasks the same (`schema/private_checks.py`)
    return CountsPlan(lines=terms.lines, quantity=terms.quantity, noise_multiplier=noise_multiplier)


def _group(
    federation: schema.Federation, policy: schema.Privacy, task: str, group: schema.TaskPrivacy, share: float
) -> GroupPlan:
    norm = group.clipping_norm or policy.clipping_norm
    words = federation.tasks[task].library
    factor = library.ROW_KINDS[library.TASKS[words].rows].sensitivity if words else 1.0
    return GroupPlan(
        name=task, clipping_norm=norm, sensitivity=factor * norm, noise_multiplier=1 / math.sqrt(share)
    )


def _scaled(plan: Plan, factor: float) -> Plan:
    """Return the plan with every noise multiplier times `factor`."""
    told, statistics, counts = plan.telemetry, plan.statistics_multiplier, plan.counts
    return replace(
        plan,
        groups=tuple(replace(g, noise_multiplier=g.noise_multiplier * factor) for g in plan.groups),
        statistics_multiplier=None if statistics is None else statistics * factor,
        counts=counts and replace(counts, noise_multiplier=counts.noise_multiplier * factor),
        telemetry=told and replace(told, noise_multiplier=told.noise_multiplier * factor),
    )
