"""A ready table, one row per example, as typed chunks; nothing but the present chunk is in memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from client.config import MerchantConfig
from client.mapping import feature_slots
from client.merchant_file import ReadyTable, masked
from shared_model import schema
from shared_model.errors import DataError
from shared_model.schema import Federation, Task

from .canonical import ColumnType
from .columns import flags_as_numbers, lists_of_numbers, lists_of_text
from .encoding import Where
from .pieces import Piece
from .sources import pieces
from .tally import Tally

KIND = "table"
"""What the rows of a ready table are called among the kinds of rows."""

_ROW = "_row"
"""Column with a row's position inside its piece."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some rows.

    Attributes:
        frame: A column per slot that the table fills, `time` and `unit` where it has them, `label.<task>`.
        where: Names a row for a person.
    """

    frame: pl.DataFrame
    where: Where


def chunks(config: MerchantConfig, federation: Federation, tally: Tally) -> Iterator[Chunk]:
    """Yield the table's rows in their order; `tally` is brought up to date with each.

    Raises:
        DataError: The source cannot be read, or a column that the merchant named is missing.
    """
    table = config.table
    if table is None:
        raise ValueError("Expected a configuration with a ready table.")
    labels = {task: column for task, column in table.labels.items() if task in config.tasks}
    for piece in pieces(table.source, table.query, select=partial(_wanted, table, federation)):
        columns = _feature_columns(piece, table, config, federation, tally)
        for task, column in labels.items():
            columns[f"label.{task}"] = _label(piece, column, config.tasks[task], table, config, tally)
        chunk = _timed(pl.DataFrame(columns), piece, table, config, tally)
        tally.rows += len(piece.frame)
        tally.kept += len(chunk.frame)
        yield chunk


def _wanted(
    table: ReadyTable, federation: Federation, source: str, columns: Sequence[str]
) -> dict[str, pl.Expr]:
    """The columns that the merchant named and those that a feature is looked for in.

    Raises:
        DataError: A column that the merchant named is missing.
    """
    named = {
        **({"time": table.time} if table.time else {}),
        **({"unit": table.unit} if table.unit else {}),
        **{f"columns.{slot}": column for slot, column in table.columns.items()},
        **{f"labels.{task}": column for task, column in table.labels.items()},
    }
    for key, column in named.items():
        if column not in columns:
            raise DataError(
                f"{masked(source)}: there is no column {column!r}, which [table] {key} names. "
                f"It has: {', '.join(columns)}."
            )
    guessed = {guess for guesses in feature_slots(federation).values() for guess in guesses}
    read = guessed.union(named.values())
    return {column: pl.col(column) for column in columns if column in read}


def _feature_columns(
    piece: Piece, table: ReadyTable, config: MerchantConfig, federation: Federation, tally: Tally
) -> dict[str, pl.Series]:
    columns = {_ROW: pl.Series(range(len(piece.frame)), dtype=pl.Int64)}
    for slot, guesses in feature_slots(federation).items():
        tried = (table.columns[slot],) if slot in table.columns else guesses
        column = next((c for c in tried if c in piece.frame.columns), None)
        if column is not None:
            feature = federation.features[slot.partition(".")[0]]
            columns[slot] = _feature(piece, column, feature, table, config, tally)
    return columns


def _feature(
    piece: Piece,
    column: str,
    feature: schema.Feature,
    table: ReadyTable,
    config: MerchantConfig,
    tally: Tally,
) -> pl.Series:
    if isinstance(feature, schema.Multi | schema.Sequence):
        return lists_of_text(piece.frame[column], table.separator)
    if isinstance(feature, schema.Vector):
        return lists_of_numbers(piece.frame[column], table.separator)
    types: Mapping[str, ColumnType] = {"numeric": "number", "categorical": "category", "text": "text"}
    return _converted(piece, column, types[feature.kind], config, tally)


def _label(
    piece: Piece, column: str, task: Task, table: ReadyTable, config: MerchantConfig, tally: Tally
) -> pl.Series:
    values = piece.frame[column]
    if isinstance(task, schema.Multilabel):
        return lists_of_text(values, table.separator)
    if isinstance(task, schema.Multiclass | schema.Retrieval):
        return _converted(piece, column, "category", config, tally)
    if isinstance(task, schema.Binary) and values.dtype == pl.String:
        piece = replace(piece, frame=piece.frame.with_columns(flags_as_numbers(values)))
    return _converted(piece, column, "number", config, tally)


def _converted(
    piece: Piece, column: str, type_: ColumnType, config: MerchantConfig, tally: Tally
) -> pl.Series:
    return tally.convert(piece, column, type_, timezone=config.timezone)


def _timed(
    frame: pl.DataFrame, piece: Piece, table: ReadyTable, config: MerchantConfig, tally: Tally
) -> Chunk:
    """Add `time` and `unit`; a row without its time cannot be placed in the split and is dropped."""
    if table.unit:
        unit = _converted(piece, table.unit, "id", config, tally)
        frame = frame.with_columns(unit.alias("unit"))
    if table.time:
        time = _converted(piece, table.time, "time", config, tally)
        frame = frame.with_columns(time.alias("time")).filter(time.is_not_null())
        if len(frame) < len(piece.frame):
            tally.drop({"no time": len(piece.frame) - len(frame)})
    return Chunk(frame=frame, where=lambda row: piece.where(frame[_ROW][row]))
