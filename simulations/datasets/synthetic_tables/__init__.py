"""Markets of made-up ready tables: what they are about is said in TOML alone.

Columns, labels and what labels follow from stand in the `[market]` table of an experiment. So an example of
another trade (credit, a content feed) needs no code. Every row is drawn; merchants are called
`synthetic-...`, so no table can be taken for real. As in the synthetic shops, a coefficient of merchant m is

    sqrt(r) * shared + sqrt(1 - r) * |shared| * own_m,   own_m ~ Normal(0, 1)

with relatedness r, so r changes what merchants have in common and not how much there is to learn.

Notation: n rows of one merchant.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from ... import seeds
from ...market import Market, MerchantTables, tier_of
from .drawing import Drawn, Floats, draw_column, draw_label, predictor
from .options import BinaryLabel, MatchColumn, SyntheticTablesMarket

__all__ = ["SyntheticTablesMarket", "generate", "read"]

TIME, UNIT = "day", "person"
_DAY = np.timedelta64(1, "D")

Draws = Callable[..., np.random.Generator]
"""`draws(*stage)` is a generator of one merchant's own for one purpose."""


def read(options: SyntheticTablesMarket, base: Path) -> Market:
    """Return `generate(options)`; there is no file to read below `base`."""
    del base
    return generate(options)


def generate(options: SyntheticTablesMarket) -> Market:
    """Return the market that `options` describe.

    A merchant's table depends on the options and on its own name only. `truth` holds, under `merchants`, the
    coefficients of every merchant: label -> column -> value.
    """
    names = [f"synthetic-{options.merchant}-{number:02d}" for number in range(1, options.merchants + 1)]
    drawn = {name: _draw_merchant(options, name) for name in names}
    return Market(
        name=f"synthetic {options.merchant}s",
        merchants={name: tables for name, (tables, _) in drawn.items()},
        validation_from=options.validation_from,
        test_from=options.test_from,
        truth={"merchants": {name: coefficients for name, (_, coefficients) in drawn.items()}},
    )


def _draw_merchant(
    options: SyntheticTablesMarket, name: str
) -> tuple[MerchantTables, dict[str, dict[str, float]]]:
    """Return one merchant's table and its coefficients."""

    def draws(*stage: str) -> np.random.Generator:
        return seeds.generator(options.seed, name, *stage)

    size = options.median_rows * np.exp(options.sigma_rows * draws("size").normal())
    rows = round(float(np.clip(size, options.min_rows, options.max_rows)))
    persons = max(1, round(rows / options.rows_per_unit))
    owner = draws("persons").integers(persons, size=rows)
    day = np.datetime64(options.start, "ms") + np.sort(draws("days").integers(options.days, size=rows)) * _DAY
    columns: dict[str, Drawn] = {}
    for column, spec in sorted(options.columns.items(), key=lambda item: isinstance(item[1], MatchColumn)):
        columns[column] = draw_column(spec, columns, owner, persons, draws("column", column))
    coefficients = {label: _coefficients(options, label, draws) for label in options.labels}
    labels = {
        label: draw_label(
            spec, _effect(options, label, coefficients[label], columns, rows), draws("label", label)
        )
        for label, spec in options.labels.items()
    }
    frame = pl.DataFrame(
        {
            TIME: day,
            UNIT: [f"{name}-p{person}" for person in owner],
            **{column: columns[column].values for column in options.written},
            **_finished(options, labels).to_dict(),
        }
    )
    return _tables(options, frame), coefficients


def _coefficients(options: SyntheticTablesMarket, label: str, draws: Draws) -> dict[str, float]:
    own, r = draws("effects", label), options.relatedness
    return {
        column: float(np.sqrt(r) * shared + np.sqrt(1 - r) * abs(shared) * own.normal())
        for column, shared in options.labels[label].effects.items()
    }


def _effect(
    options: SyntheticTablesMarket,
    label: str,
    coefficients: Mapping[str, float],
    columns: Mapping[str, Drawn],
    rows: int,
) -> Floats:
    """Return the sum of coefficient x predictor for one label, shape (n,)."""
    effect = np.zeros(rows)
    for column, value in coefficients.items():
        codes = seeds.generator(options.seed, "codes", label, column)
        effect += value * predictor(options.columns[column], columns[column], codes)
    return effect


def _finished(options: SyntheticTablesMarket, drawn: Mapping[str, pl.Series]) -> pl.DataFrame:
    """Return the labels as the table has them: 0 where one cannot be 1, no value where it is not known."""
    frame = pl.DataFrame(drawn)
    for label, spec in options.labels.items():  # those that it asks for stand before it
        value = pl.col(label)
        if isinstance(spec, BinaryLabel) and spec.only_where:
            value = value * pl.col(spec.only_where)
        if spec.known_where:
            value = pl.when(pl.col(spec.known_where) == 1).then(value)
        frame = frame.with_columns(value.alias(label))
    return frame


def _tables(options: SyntheticTablesMarket, frame: pl.DataFrame) -> MerchantTables:
    training = frame.filter(pl.col(TIME) < options.validation_from)
    tier = tier_of(training[UNIT].n_unique())
    return MerchantTables(
        table=frame,
        time=TIME,
        unit=UNIT,
        columns={column: column for column in options.written},
        labels={label: label for label in options.labels},
        tier=tier,
        group=tier,
    )
