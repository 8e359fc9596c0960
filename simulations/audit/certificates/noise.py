"""The noise is what was claimed: Gaussian, of the claimed size, on every coordinate, fresh in every step.

A merchant without a single row releases noise alone, so this sees nothing else.

Notation: T steps, N coordinates; z is the release over the claimed standard deviation, shape (T, N).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from client.private.grid import to_grid
from shared_model.features import Batch
from shared_model.schema import Regression

from ..findings import ERROR, Finding
from ..mechanism import release
from ..subject import Subject
from ..workload import WIDTH, Laboratory, Workload

STEPS, COORDINATES = 64, 4096
_PAIRED = 1024
"""Coordinates that are compared with each other."""

_GRID = 2.0**-9 * 0.4
"""Half a step of the public grid, in parts of the noise, times the largest density of the noise: so far does
rounding alone move its distribution."""

_LEAST = "Standard deviation on the coordinate with the least noise, over the claimed one."

Floats = NDArray[np.float64]


def noise_law(subject: Subject) -> tuple[Finding, ...]:
    """Return how releases of a merchant without rows are distributed."""
    z, off_grid = _standardised(subject)
    return (
        *gaussian("noise", z),
        least("noise.coordinates", z, _LEAST),
        _steps(z),
        _coordinates(z),
        Finding(
            name="noise.grid",
            value=off_grid,
            high=0.0,
            says="Released numbers lie on the public grid (share that does not).",
        ),
    )


def gaussian(what: str, z: Floats, *, error: float = ERROR) -> tuple[Finding, ...]:
    """Return how numbers that should be independent and standard normal are distributed.

    Args:
        what: They are the noise of; first part of the findings' names.
        z: The numbers, any shape.
        error: Probability with which one of the findings refutes such numbers.
    """
    return tuple(statistic(what, z, error) for statistic in (_mean, _scale, _shape, _tails))


def _standardised(subject: Subject) -> tuple[Floats, float]:
    plan = subject.step
    model = Laboratory(subject.groups, COORDINATES // len(plan.groups))
    rows, generator = nobody(subject.groups), subject.generator("noise")
    scale = {group.name: group.noise_std for group in plan.groups}
    steps, off_grid, numbers = [], 0, 0
    for _ in range(STEPS):
        sums = release(subject.mechanism, model, rows, subject.federation, plan, generator)
        std = {name: scale[name.split(".")[1]] for name in sums}
        steps.append(torch.cat([(value / std[name]).flatten() for name, value in sums.items()]))
        unit = plan.learning_rate / plan.divisor
        off_grid += sum(int((to_grid(p, std[n] * unit) != p).sum()) for n, p in model.named_parameters())
        numbers += steps[-1].numel()
    return torch.stack(steps).double().numpy(), off_grid / numbers


def nobody(groups: list[str]) -> Workload:
    """Return the rows of a merchant that has none."""
    none = torch.zeros(0)
    return Workload(
        tasks={group: Regression(kind="regression") for group in groups},
        everything=Batch(
            numeric=torch.zeros(0, WIDTH),
            ids={"canary": torch.zeros(0, 1, dtype=torch.long)},
            labels=dict.fromkeys(groups, none),
        ),
        unit=none.long(),
        units=0,
        weight=none,
    )


def _mean(what: str, z: Floats, error: float) -> Finding:
    score = float(z.mean()) * z.size**0.5
    bound = float(stats.norm.isf(error / 2))
    return Finding(
        name=f"{what}.mean",
        value=score,
        low=-bound,
        high=bound,
        p_value=float(2 * stats.norm.sf(abs(score))),
        says="Mean of the noise, in standard errors.",
    )


def _scale(what: str, z: Floats, error: float) -> Finding:
    total = float((z**2).sum())
    low, high = (float(stats.chi2.ppf(p, z.size)) for p in (error / 2, 1 - error / 2))
    tail = min(float(stats.chi2.cdf(total, z.size)), float(stats.chi2.sf(total, z.size)))
    return Finding(
        name=f"{what}.scale",
        value=(total / z.size) ** 0.5,
        low=(low / z.size) ** 0.5,
        high=(high / z.size) ** 0.5,
        p_value=min(1.0, 2 * tail),
        says="Standard deviation of the noise over the claimed one.",
    )


def least(name: str, z: Floats, says: str) -> Finding:
    """Return the root mean square of the column of `z`, shape (T, N), in which it is least."""
    steps, coordinates = z.shape
    found = float((z**2).sum(0).min())
    return Finding(
        name=name,
        value=(found / steps) ** 0.5,
        low=float(stats.chi2.ppf(ERROR / coordinates, steps) / steps) ** 0.5,
        p_value=min(1.0, coordinates * float(stats.chi2.cdf(found, steps))),
        says=says,
    )


def _shape(what: str, z: Floats, error: float) -> Finding:
    found = stats.kstest(z.ravel(), "norm", method="asymp")
    return Finding(
        name=f"{what}.gaussian",
        value=float(found.statistic),
        high=float(stats.kstwobign.isf(error)) / z.size**0.5 + _GRID,
        p_value=float(found.pvalue),
        says="Largest distance between the distribution of the noise and the Gaussian one.",
    )


def _tails(what: str, z: Floats, error: float) -> Finding:
    # The fourth moment of a standard normal is 3, its variance 105 - 9 = 96.
    score = float((z**4).mean() - 3) * (z.size / 96) ** 0.5
    bound = float(stats.norm.isf(error / 2))
    return Finding(
        name=f"{what}.tails",
        value=score,
        low=-bound,
        high=bound,
        p_value=float(2 * stats.norm.sf(abs(score))),
        says="Fourth moment of the noise against a Gaussian's, in standard errors.",
    )


def _steps(z: Floats) -> Finding:
    return correlation("noise.steps", z, "Largest correlation between the noise of two steps.")


def _coordinates(z: Floats) -> Finding:
    chosen = z[:, np.linspace(0, z.shape[1] - 1, _PAIRED).astype(int)]
    says = "Largest correlation between the noise on two coordinates."
    return correlation("noise.pairs", chosen.T, says)


def correlation(name: str, rows: Floats, says: str) -> Finding:
    """Return the largest correlation of two rows of independent standard normals, shape (T, N).

    All pairs are compared; the correlation of n pairs of normals is a t statistic.
    """
    count, length = rows.shape
    unit = rows - rows.mean(1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True).clip(1e-300)
    found = unit @ unit.T
    largest = float(np.abs(found[np.triu_indices(count, 1)]).max())
    pairs = count * (count - 1) / 2
    t = float(stats.t.isf(ERROR / 2 / pairs, length - 2))
    seen = largest * ((length - 2) / max(1 - largest**2, 1e-300)) ** 0.5
    return Finding(
        name=name,
        value=largest,
        high=t / (length - 2 + t**2) ** 0.5,
        p_value=min(1.0, 2 * pairs * float(stats.t.sf(seen, length - 2))),
        says=says,
    )
