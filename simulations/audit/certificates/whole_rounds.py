"""A round of several steps: every step adds its noise, and every step draws a sample of its own.

The other certificates look at one step. What goes wrong between the steps of a round (a sample that is drawn
once, noise in the first step alone, noise owed to a table that is paid once or too often) shows only here.
Noise on rows of a table may wait until a row is read or the round ends; so half of the rows are read again
and again, by shoppers whose rows weigh nothing, and the other half never: a release is noise alone.

Notation: K steps in a round, R rounds, U units, N coordinates, q sampling rate; z is the release over its
claimed standard deviation, shape (R, N); a weight w becomes a w in every step beside what moves it.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model import schema
from shared_model.features import Batch
from shared_model.privacy.plan import Plan

from ..findings import Finding
from ..mechanism import release
from ..subject import Subject
from ..workload import WIDTH, Laboratory, Workload
from .noise import Floats, gaussian, least, nobody
from .sampler import dispersion, most_units

FEWEST_STEPS, MOST_STEPS = 4, 32
"""Of a round that is looked at, whatever the contract's own number."""

_STEPS = 128
_FEWEST_ROUNDS = 32
_COORDINATES = 2048
_READERS = 32
"""Units that own one row each; between them they read half of every table."""

_LEAST = "Standard deviation of a round on the coordinate with the least noise, over the claimed one."

Counts = NDArray[np.int_]


def whole_rounds(subject: Subject) -> tuple[Finding, ...]:
    """Return how rounds of several steps are distributed, and how their samples depend on each other."""
    plan = several(subject.plan)
    z, counts, steps = _released(subject, plan)
    return (
        Finding(
            name="round.steps",
            value=float(max(steps, key=lambda taken: abs(taken - plan.steps))),
            low=float(plan.steps),
            high=float(plan.steps),
            says="Steps that a round takes, of all rounds the one furthest from what was claimed.",
        ),
        *gaussian("round", z),
        least("round.coordinates", z, _LEAST),
        _samples(counts, plan),
    )


def several(plan: Plan) -> Plan:
    """Return the claim for a round of K steps, K at least 4 and at most 32, without telemetry."""
    return replace(plan, steps=min(max(plan.steps, FEWEST_STEPS), MOST_STEPS), telemetry=None)


def _released(subject: Subject, plan: Plan) -> tuple[Floats, Counts, list[int]]:
    """Return z, how often every unit was drawn in every round, shape (R, U), and the steps of the rounds."""
    model = Laboratory(subject.groups, _COORDINATES // len(plan.groups))
    rows, generator = _weightless(subject.groups, most_units(plan.sampling_rate)), subject.generator("rounds")
    scale = _growth(subject.federation.local, plan)
    std = {group.name: group.noise_std * scale for group in plan.groups}
    noise, counts, steps = [], [], []
    for _ in range(max(_FEWEST_ROUNDS, _STEPS // plan.steps)):
        rows.drawn.clear()
        sums = release(subject.mechanism, model, rows, subject.federation, plan, generator)
        noise.append(torch.cat([(v / std[n.split(".")[1]]).flatten() for n, v in sums.items()]))
        counts.append(torch.cat([*rows.drawn, _NOBODY]).bincount(minlength=rows.units))
        steps.append(len(rows.drawn))
    return torch.stack(noise).double().numpy(), torch.stack(counts).numpy(), steps


def _growth(local: schema.LocalTraining, plan: Plan) -> float:
    """Return the noise of a round over that of a step, sqrt(1 + a^2 + ... + a^(2K - 2)); sqrt(K) for a = 1.

    Weight decay and the proximal term shrink the noise of earlier steps; rounds begin at zero here.
    """
    kept = 1 - plan.learning_rate * (local.weight_decay + local.proximal)
    return math.sqrt(sum(kept ** (2 * step) for step in range(plan.steps)))


def _weightless(groups: list[str], units: int) -> Workload:
    """Return shoppers whose rows read half of every table and weigh nothing, and units without rows."""
    bag = _COORDINATES // len(groups) // 2 // _READERS
    nothing = torch.zeros(_READERS)
    return replace(
        nobody(groups),
        everything=Batch(
            numeric=torch.zeros(_READERS, WIDTH),
            ids={"canary": 1 + torch.arange(_READERS * bag).view(_READERS, bag)},
            labels=dict.fromkeys(groups, nothing),
        ),
        unit=torch.arange(_READERS),
        units=units,
        weight=nothing,
        drawn=[],
    )


def _samples(counts: Counts, plan: Plan) -> Finding:
    if plan.sampling_rate == 1:
        return Finding(
            name="round.samples",
            value=float((counts == plan.steps).mean()),
            low=1.0,
            says="Share of the units that takes part in every step of a round.",
        )
    says = (
        "Variance of how often a unit is drawn in a round, over that of independent coins "
        f"({plan.steps}: all steps have one sample)."
    )
    return dispersion("round.samples", counts.ravel(), plan.steps, plan.sampling_rate, says)


_NOBODY: Tensor = torch.zeros(0, dtype=torch.long)
