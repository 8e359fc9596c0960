"""What canaries prove: lower bounds on epsilon beside what is claimed for the same steps.

A bound on a step lies above the truth once in a thousand times, one from a whole run once in a hundred at
most, and a statistical certificate refutes an honest mechanism once in ten thousand. So all errors of an
audit together stay below 3 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from shared_model.privacy import accounting
from shared_model.privacy.events import PrivacyEvent
from shared_model.privacy.plan import Plan

from .canaries import Observed, observe
from .estimators import one_run, one_run_fdp, separation, step_bound, two_worlds
from .subject import Subject

STEP_CONFIDENCE, RUN_CONFIDENCE = 0.999, 0.99

_MOST_STEPS = 100
_PRECISION = 0.03
"""Aimed at: the lower bound on sensitivity over noise is so much below the truth."""

_RELEASES = 300_000
"""Of each world, that a threshold is tried on."""

_FEWEST, _MOST = 10_000, 150_000
"""Canaries."""

COINS = 4_000
"""Canaries whose coins are guessed."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A lower bound on epsilon and the claim that it is held against.

    Attributes:
        name: Of the method.
        epsilon: What the evidence proves, at the claim's delta.
        claimed: Epsilon that is claimed for the steps that the method speaks of.
        steps: How many those are.
        confidence: Of the bound.
        says: What was seen, in words.
    """

    name: str
    epsilon: float
    claimed: float
    steps: int
    confidence: float
    says: str

    @property
    def refuted(self) -> bool:
        """Whether the evidence proves more than is claimed."""
        return self.epsilon > self.claimed

    @property
    def share(self) -> float:
        """The bound over the claim: how much of the claim the audit could see."""
        return self.epsilon / self.claimed


def bounds(subject: Subject) -> Iterator[Bound]:
    """Yield the bounds of the step audit, of a threshold on one step and of one run, as they come."""
    seen = watched(subject)
    yield step(seen, subject.plan)
    yield threshold(seen, subject.plan)
    yield from runs(seen, subject.plan)


def watched(subject: Subject) -> Observed:
    """Return what canaries show of the steps of a plan, as many as the bounds need."""
    steps = min(subject.plan.steps * subject.plan.rounds, _MOST_STEPS)
    by_coin, certain = _canaries(subject.plan, steps)
    return observe(
        subject.mechanism,
        subject.federation,
        subject.plan,
        steps=steps,
        by_coin=by_coin,
        certain=certain,
        seed=subject.number("canaries"),
    )


def step(seen: Observed, plan: Plan, *, confidence: float = STEP_CONFIDENCE) -> Bound:
    """Return the bound of the step audit, over all steps of the plan."""
    total = plan.steps * plan.rounds
    events = _steps(plan, total)
    found = separation(seen.scores, seen.entered, confidence=confidence)
    return Bound(
        name="step",
        epsilon=step_bound(found, events, multiplier=plan.noise_multiplier, delta=plan.delta),
        claimed=accounting.epsilon(events, plan.delta),
        steps=total,
        confidence=confidence,
        says=f"{_scope(plan)}Sensitivity over noise of a step is {found.ratio * plan.noise_multiplier:.4f} "
        f"of the claimed one, and at least {found.ratio_low * plan.noise_multiplier:.4f}.",
    )


def threshold(seen: Observed, plan: Plan, *, confidence: float = STEP_CONFIDENCE) -> Bound:
    """Return what a threshold on the release of one step proves; it does not ask for Gaussian noise.

    Every canary in every step is a run of its own of the same two worlds: it entered the step, or it did
    not. The first ones are enough.
    """
    event = PrivacyEvent(sampling_rate=1.0, noise_multiplier=plan.noise_multiplier)
    inside, outside = seen.scores[seen.entered][:_RELEASES], seen.scores[~seen.entered][:_RELEASES]
    return Bound(
        name="threshold on one step",
        epsilon=two_worlds(outside, inside, delta=plan.delta, confidence=confidence),
        claimed=accounting.epsilon([event], plan.delta),
        steps=1,
        confidence=confidence,
        says=f"{inside.size} releases with their canary and {outside.size} without.",
    )


def runs(seen: Observed, plan: Plan, *, confidence: float = RUN_CONFIDENCE) -> tuple[Bound, Bound]:
    """Return what guessing coins from the whole run proves, without and with the claimed profile."""
    events = _steps(plan, len(seen.scores))
    coins = seen.by_coin.nonzero()[0][:COINS]
    scores, present = seen.scores[:, coins].sum(0), seen.inserted[coins]
    plain = one_run(scores, present, delta=plan.delta, confidence=confidence)
    profile = one_run_fdp(scores, present, events, delta=plan.delta, confidence=confidence)
    right = float(((scores > float(np.median(scores))) == present).mean())
    claimed = accounting.epsilon(events, plan.delta)

    def bound(name: str, epsilon: float) -> Bound:
        return Bound(
            name=name,
            epsilon=epsilon,
            claimed=claimed,
            steps=len(seen.scores),
            confidence=confidence,
            says=f"{right:.1%} of {len(coins)} coins were guessed.",
        )

    return bound("one run", plain), bound("one run, whole profile", profile)


def _scope(plan: Plan) -> str:
    """Say which releases of a plan the bounds are not about."""
    others = {"statistics": plan.statistics_multiplier, "counts": plan.counts, "telemetry": plan.telemetry}
    left_out = " and ".join(name for name, part in others.items() if part is not None)
    return f"The steps alone, without {left_out}. " if left_out else ""


def _steps(plan: Plan, count: int) -> tuple[PrivacyEvent, ...]:
    return (
        PrivacyEvent(sampling_rate=plan.sampling_rate, noise_multiplier=plan.noise_multiplier, count=count),
    )


def _canaries(plan: Plan, steps: int) -> tuple[int, int]:
    """Return how many canaries a coin decides on and how many are in for certain.

    Under full batches a score without a canary needs a canary that is out, so a coin decides on all of them.
    """
    needed = 2 * (float(stats.norm.isf(1 - STEP_CONFIDENCE)) * plan.noise_multiplier / _PRECISION) ** 2
    share = 0.5 if plan.sampling_rate == 1 else min(0.5, plan.sampling_rate)
    count = min(_MOST, max(_FEWEST, round(needed / steps / share)))
    return (count, 0) if plan.sampling_rate == 1 else (COINS, count - COINS)
