"""The noised losses of a round: their noise is what was claimed, and no shopper moves them further.

Nothing to find in a contract without telemetry.
"""

import math
from dataclasses import replace

import torch

from shared_model.privacy.plan import GroupPlan, Plan
from shared_model.protocol import TELEMETRY

from ..findings import Finding
from ..mechanism import Mechanism, release
from ..silence import silent
from ..subject import Subject
from ..workload import Laboratory, Workload
from .noise import gaussian, nobody
from .sensitivity import Row, laboratory_rows

_ROUNDS = 300

_HOSTILE: dict[str, Row] = {
    "a huge loss": Row(0, (1,), 0.0, 1e15),
    "an infinite loss": Row(0, (1,), 0.0, math.inf),
    "no number": Row(0, (1,), math.nan, 1.0),
    "a loss just beyond": Row(0, (1,), 0.0, 1e2),
}

_GRID = 2.0**-8
"""Largest step, in parts of the noise, of the grid that every sum is rounded to, and a difference with it."""


def telemetry(subject: Subject) -> tuple[Finding, ...]:
    """Return the law of the noise on losses, and how far one shopper moves their sum, over the claim."""
    plan = subject.plan.telemetry
    if plan is None:
        return ()
    generator, empty = subject.generator("telemetry"), nobody(list(plan.tasks))
    noise = torch.stack([_told(subject, empty, generator) for _ in range(_ROUNDS)]) / plan.noise_std
    moves = {name: _moved(subject, row) for name, row in _HOSTILE.items()}
    worst = max(moves, key=lambda name: moves[name])
    return (
        *gaussian("telemetry", noise.double().numpy())[:3],  # too few numbers to speak of tails
        Finding(
            name="telemetry.sensitivity",
            value=moves[worst],
            high=1 + _GRID * math.sqrt(len(plan.tasks)) * plan.noise_multiplier,
            says=f"Largest part of the losses that one shopper makes up, over the claim (here: {worst}).",
        ),
    )


def _told(
    subject: Subject, rows: Workload, generator: torch.Generator, mechanism: Mechanism | None = None
) -> torch.Tensor:
    model = Laboratory(list(rows.tasks), 2)
    one: Plan = replace(subject.plan, steps=1)
    used = mechanism or subject.mechanism
    return release(used, model, rows, subject.federation, one, generator)[TELEMETRY]


def _moved(subject: Subject, row: Row) -> float:
    plan = subject.plan.telemetry
    assert plan is not None  # for the type checker: `telemetry` saw to it
    groups = [
        GroupPlan(name=task, clipping_norm=1.0, sensitivity=1.0, noise_multiplier=1.0) for task in plan.tasks
    ]
    silenced = replace(subject.mechanism, noise=silent)
    there, absent = (
        _told(subject, laboratory_rows(groups, [row], present=present), subject.generator("told"), silenced)
        for present in (True, False)
    )
    return float((there - absent).double().norm()) / plan.sensitivity
