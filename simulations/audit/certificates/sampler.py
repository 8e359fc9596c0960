"""The sampler is the one that is accounted for: every unit by its own coin, at the claimed rate.

Shuffled epochs and batches of a fixed size look like sampling and protect far less (Chua et al. 2024,
https://arxiv.org/abs/2403.17673).

Notation: T steps, U units, q sampling rate; drawn is a matrix of 0 and 1, shape (T, U).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..findings import ERROR, Finding
from ..mechanism import release
from ..subject import Subject
from ..workload import Laboratory
from .noise import nobody

_STEPS = 200
_DRAWS = 1_000_000
"""T x U for a rate of a tenth; more for smaller rates, so that 5 % of the rate are seen."""

_MOST_UNITS = 50_000

Flags = NDArray[np.bool_]


def sampler_law(subject: Subject) -> tuple[Finding, ...]:
    """Return how units that own no row are drawn."""
    q = subject.plan.sampling_rate
    drawn, repeated = _drawn(subject, most_units(q))
    exact = (
        Finding(
            name="sampler.repeated",
            value=float(repeated),
            high=0.0,
            says="Units that were drawn twice into one step.",
        ),
    )
    if q == 1:
        return (
            *exact,
            Finding(
                name="sampler.everybody",
                value=float(drawn.mean()),
                low=1.0,
                says="Share of the units that takes part in a step.",
            ),
        )
    return (*exact, _rate(drawn, q), _sizes(drawn, q), _units(drawn, q), _neighbours(drawn, q))


def most_units(q: float) -> int:
    """Return how many units are drawn from at a sampling rate q."""
    return min(_MOST_UNITS, round(_DRAWS / _STEPS * max(1.0, 0.1 / q)))


def _drawn(subject: Subject, units: int) -> tuple[Flags, int]:
    rows = replace(nobody(subject.groups), units=units, drawn=[])
    model, generator = Laboratory(subject.groups, 1), subject.generator("sampler")
    for _ in range(_STEPS):
        release(subject.mechanism, model, rows, subject.federation, subject.step, generator)
    drawn = np.zeros((_STEPS, units), dtype=bool)
    for step, chosen in enumerate(rows.drawn):
        drawn[step, chosen.numpy()] = True
    return drawn, sum(len(chosen) for chosen in rows.drawn) - int(drawn.sum())


def _rate(drawn: Flags, q: float) -> Finding:
    error = (q * (1 - q) / drawn.size) ** 0.5
    bound = float(stats.norm.isf(ERROR / 2)) * error
    rate = float(drawn.mean())
    return Finding(
        name="sampler.rate",
        value=rate / q,
        low=1 - bound / q,
        high=1 + bound / q,
        p_value=float(2 * stats.norm.sf(abs(rate - q) / error)),
        says="Share of units that are drawn, over the claimed rate.",
    )


def _sizes(drawn: Flags, q: float) -> Finding:
    says = (
        "Variance of the number of units in a step, over that of independent coins (0: batches of one size)."
    )
    return dispersion("sampler.sizes", drawn.sum(1), drawn.shape[1], q, says)


def _units(drawn: Flags, q: float) -> Finding:
    says = "Variance of how often a unit is drawn, over that of independent coins (0: shuffled epochs)."
    return dispersion("sampler.units", drawn.sum(0), drawn.shape[0], q, says)


def dispersion(name: str, counts: NDArray[np.int_], coins: int, q: float, says: str) -> Finding:
    """Compare counts with a binomial; their squared deviations are chi-squared but for its kurtosis."""
    variance = coins * q * (1 - q)
    ratio = float(((counts - coins * q) ** 2).mean() / variance)
    spread = ((2 + (1 - 6 * q * (1 - q)) / variance) / len(counts)) ** 0.5
    freedom = 2 / spread**2
    low, high = (float(stats.chi2.ppf(p, freedom)) / freedom for p in (ERROR / 2, 1 - ERROR / 2))
    tail = min(
        float(stats.chi2.cdf(ratio * freedom, freedom)), float(stats.chi2.sf(ratio * freedom, freedom))
    )
    return Finding(name=name, value=ratio, low=low, high=high, p_value=min(1.0, 2 * tail), says=says)


def _neighbours(drawn: Flags, q: float) -> Finding:
    """Correlate whether a unit is drawn with whether it was drawn a step before."""
    centred = drawn - q
    score = float((centred[1:] * centred[:-1]).sum() / (q * (1 - q) * centred[1:].size ** 0.5))
    bound = float(stats.norm.isf(ERROR / 2))
    return Finding(
        name="sampler.steps",
        value=score,
        low=-bound,
        high=bound,
        p_value=float(2 * stats.norm.sf(abs(score))),
        says="Dependence of a step's units on those of the step before, in standard errors.",
    )
