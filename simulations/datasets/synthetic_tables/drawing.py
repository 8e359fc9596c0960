"""How columns and labels of a made-up table are drawn.

Notation: n rows of one merchant, P persons.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .options import BinaryLabel, CategoryColumn, Column, Label, MatchColumn, NumberColumn

Floats = NDArray[np.float64]


class Drawn(NamedTuple):
    """A column: what the table holds, and the standard normal, value number or match behind it; both (n,)."""

    values: pl.Series
    behind: Floats


def draw_column(
    column: Column,
    earlier: Mapping[str, Drawn],
    owner: NDArray[np.int64],
    persons: int,
    generator: np.random.Generator,
) -> Drawn:
    """Return a column of one merchant.

    Args:
        column: Its declaration.
        earlier: Columns that are drawn already; a match column names two of them.
        owner: Person of every row, shape (n,).
        persons: P.
        generator: Of this column at this merchant.
    """
    if isinstance(column, MatchColumn):
        first, second = (earlier[name].values for name in column.of)
        same = (first == second).cast(pl.Int8)
        return Drawn(same, same.to_numpy().astype(np.float64))
    many = persons if column.per == "unit" else len(owner)
    if isinstance(column, NumberColumn):
        behind = column.shift * generator.normal() + generator.normal(size=many)
    else:
        behind = _choices(column, many, generator).astype(np.float64)
    behind = behind[owner] if column.per == "unit" else behind
    return Drawn(_values(column, behind), behind)


def predictor(column: Column, drawn: Drawn, codes: np.random.Generator) -> Floats:
    """Return what a label sees of a column, shape (n,).

    Args:
        column: Its declaration.
        drawn: Its values.
        codes: Draws the number of every value of a category; the same for all merchants.
    """
    if isinstance(column, CategoryColumn):
        return np.asarray(codes.normal(size=len(column.values))[drawn.behind.astype(np.int64)])
    return drawn.behind


def draw_label(label: Label, effect: Floats, generator: np.random.Generator) -> pl.Series:
    """Return a label of one merchant; `effect` is the sum of coefficient x predictor, shape (n,)."""
    if isinstance(label, BinaryLabel):
        log_odds = np.log(label.rate / (1 - label.rate)) + label.shift * generator.normal() + effect
        return pl.Series(generator.random(len(effect)) < 1 / (1 + np.exp(-log_odds))).cast(pl.Int8)
    noise = label.noise * generator.normal(size=len(effect)) + label.shift * generator.normal()
    return pl.Series(np.clip(label.center + label.spread * (effect + noise), label.low, label.high))


def _choices(column: CategoryColumn, many: int, generator: np.random.Generator) -> NDArray[np.int64]:
    odds = np.exp(column.shift * generator.normal(size=len(column.values)))
    return generator.choice(len(column.values), size=many, p=odds / odds.sum())


def _values(column: NumberColumn | CategoryColumn, behind: Floats) -> pl.Series:
    if isinstance(column, CategoryColumn):
        return pl.Series([column.values[position] for position in behind.astype(np.int64)])
    plain = column.center + column.spread * behind
    return pl.Series(_FORMS[column.form](plain).round(4))


_FORMS: dict[str, Callable[[Floats], Floats]] = {
    "plain": np.asarray,
    "exp": np.exp,
    "share": lambda x: 1 / (1 + np.exp(-x)),
}
