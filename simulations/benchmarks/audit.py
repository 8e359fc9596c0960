"""Can the audit see? How much of a claim it proves, how rarely it cries wolf, and what it catches.

Everything runs through the mechanism that merchants run (`simulations.audit.mechanism`), under the reference
contract, at delta 1e-5: 100 steps that draw a tenth of the shoppers, and for the audit from one run 20 steps
with all of them. Bounds are at 95 % confidence, false alarms those of the whole verdict. About nine minutes.
"""

from collections.abc import Iterator
from statistics import median
from time import perf_counter

import torch

from simulations.audit.bounds import bounds, runs, step, watched
from simulations.audit.certify import against, hunted
from simulations.audit.reference import reference

from .report import Result

_EPSILONS = (1.0, 4.0, 8.0)
_SEEDS = range(5)
"""A bound varies with what the audit draws; its median over these is told."""

_HONEST_RUNS = 200
_CONFIDENCE = 0.95


def run() -> list[Result]:
    """Return what the step audit and the audit from one run prove, false alarms, and mutants caught."""
    torch.set_num_threads(1)
    audits = {epsilon: [step_share(epsilon, seed) for seed in _SEEDS] for epsilon in _EPSILONS}
    steps = [
        Result(
            id=f"audit.step_eps{epsilon:g}",
            value=median(share for share, _ in found),
            unit="of the claimed epsilon",
            target=0.95,
            higher_is_better=True,
        )
        for epsilon, found in audits.items()
    ]
    slowest = max(seconds for found in audits.values() for _, seconds in found)
    caught = [bool(found) for found in hunted(0, lambda what: None).values()]
    return [
        *steps,
        Result(id="audit.step_seconds", value=slowest, unit="s, the slowest of them", target=10.0),
        Result(
            id="audit.one_run",
            value=median(one_run_share(seed) for seed in _SEEDS),
            unit="of the claimed epsilon, 8",
            target=0.45,
            higher_is_better=True,
        ),
        Result(
            id="audit.false_alarms",
            value=false_alarms(_HONEST_RUNS),
            unit=f"of {_HONEST_RUNS} honest runs",
            target=0.05,
        ),
        Result(
            id="audit.mutants",
            value=sum(caught) / len(caught),
            unit=f"of {len(caught)} caught",
            target=1.0,
            higher_is_better=True,
        ),
    ]


def step_share(epsilon: float, seed: int) -> tuple[float, float]:
    """Return how much of a claim the step audit proves, and how many seconds steps and audit took."""
    subject = reference(epsilon=epsilon, seed=seed)
    begun = perf_counter()
    bound = step(watched(subject), subject.plan, confidence=_CONFIDENCE)
    return bound.share, perf_counter() - begun


def one_run_share(seed: int) -> float:
    """Return how much of epsilon 8 one run proves against the claimed profile, everybody in every step."""
    subject = reference(sampled=False, seed=seed)
    _, profile = runs(watched(subject), subject.plan, confidence=_CONFIDENCE)
    return profile.share


def false_alarms(honest_runs: int) -> float:
    """Return the share of honest runs of which the audit refutes anything; every other one is sampled."""
    return sum(any(True for _ in _alarms(seed)) for seed in range(1, honest_runs + 1)) / honest_runs


def _alarms(seed: int) -> Iterator[str]:
    sampled = seed % 2 == 0
    subject = reference(sampled=sampled, seed=seed)
    yield from against(subject)
    if not sampled:  # under sampling every bound from one run costs seconds of accounting
        yield from (bound.name for bound in bounds(subject) if bound.refuted)
