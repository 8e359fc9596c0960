"""How many rows a merchant of a scenario has."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import ndtri

from .options import Fixed, Listed, LogNormal, Pareto, Size, Uniform


def draw_rows(size: Size, number: int, generator: np.random.Generator) -> int:
    """Return the rows of merchant `number`; one uniform number is drawn, whatever the kind of `size`.

    >>> draw_rows(Listed(kind="listed", rows=(10, 20)), 3, np.random.default_rng(0))
    20
    """
    return _DRAWN[size.kind](size, number, float(generator.random()))


def _log_normal(size: LogNormal, number: int, uniform: float) -> int:
    drawn = size.median * np.exp(size.sigma * ndtri(uniform))
    return round(float(np.clip(drawn, size.least, size.most)))


def _uniform(size: Uniform, number: int, uniform: float) -> int:
    return size.least + int(uniform * (size.most - size.least + 1))


def _pareto(size: Pareto, number: int, uniform: float) -> int:
    return int(min(size.least * (1 - uniform) ** (-1 / size.alpha), size.most))


def _fixed(size: Fixed, number: int, uniform: float) -> int:
    return size.rows


def _listed(size: Listed, number: int, uniform: float) -> int:
    return size.rows[number % len(size.rows)]


_DRAWN: dict[str, Callable[[Any, int, float], int]] = {
    "fixed": _fixed,
    "log_normal": _log_normal,
    "uniform": _uniform,
    "pareto": _pareto,
    "listed": _listed,
}
