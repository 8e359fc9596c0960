"""Regressions with the right variances in their priors, on drawn rows: what the oracle foresees."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulations.scenarios.drawing import draw
from simulations.scenarios.world import World

Floats = NDArray[np.float64]


class Fitted(NamedTuple):
    """Mean over merchants of (w - fitted)^2, summed over coefficients."""

    alone: float
    federated: float


def fitted(world: World, *, binary: bool) -> Fitted:
    """Fit the first output of a world whose features are numbers without shifts, alone and all together."""
    drawn = [draw(world, number) for number in range(world.options.merchants)]
    train = [world.part(d.day) == 0 for d in drawn]
    inputs = [d.behind[0][t] for d, t in zip(drawn, train, strict=True)]
    label = next(iter(world.contract.tasks))
    targets = [d.labels[label][t] for d, t in zip(drawn, train, strict=True)]
    offset = float(world.level[0])
    square, r = float(world.spread[0, 0] ** 2), float(world.related[0, 0])
    same = np.kron(np.ones((len(drawn), len(drawn))), np.eye(world.entries))
    own = np.eye(len(same))
    found = [
        _most_probable(inputs, targets, covariance, offset, binary=binary)
        for covariance in (square * own, square * (r * same + (1 - r) * own))
    ]
    true = np.concatenate([d.character.coefficients[0, : world.entries] for d in drawn])
    return Fitted(*(float(((w - true) ** 2).sum() / len(drawn)) for w in found))


def _most_probable(
    inputs: list[Floats], targets: list[Floats], covariance: Floats, offset: float, *, binary: bool
) -> Floats:
    """Newton's method; one step is exact for a number. Coefficients of all merchants in one vector."""
    design, y = _block_diagonal(inputs), np.concatenate(targets)
    w, precision = np.zeros(design.shape[1]), np.linalg.inv(covariance + 1e-9 * np.eye(len(covariance)))
    for _ in range(8):
        score = offset + design @ w
        mean = 1 / (1 + np.exp(-score)) if binary else score
        weight = mean * (1 - mean) if binary else np.ones_like(mean)
        gradient = design.T @ (y - mean) - precision @ w
        w = w + np.linalg.solve(design.T @ (weight[:, None] * design) + precision, gradient)
    return w


def _block_diagonal(blocks: list[Floats]) -> Floats:
    rows, columns = np.cumsum([0, *(len(b) for b in blocks)]), blocks[0].shape[1]
    design = np.zeros((rows[-1], columns * len(blocks)))
    for m, block in enumerate(blocks):
        design[rows[m] : rows[m + 1], m * columns : (m + 1) * columns] = block
    return design
