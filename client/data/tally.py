"""What has been read so far of a source that streams by: rows, losses, unreadable values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from client.merchant_file import masked

from .canonical import ColumnType
from .columns import convert, refuse_if_unreadable
from .pieces import Piece
from .reading import TableReading


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Values of a column so far: how many, how many unreadable, and where the first of these is."""

    type: ColumnType
    present: int = 0
    unreadable: int = 0
    where: str = ""


@dataclass
class Tally:
    """Counts over the pieces of one table."""

    rows: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    found: dict[str, _Found] = field(default_factory=dict)

    def convert(self, piece: Piece, column: str, type_: ColumnType, *, timezone: str) -> pl.Series:
        """Return a column of `piece` as `type_` and count what could not be read."""
        made = convert(piece.frame[column], type_, timezone=timezone)
        before = self.found.get(column, _Found(type=type_))
        self.found[column] = _Found(
            type=type_,
            present=before.present + made.present,
            unreadable=before.unreadable + made.unreadable,
            where=before.where or (piece.where(made.first) if made.unreadable else ""),
        )
        return made.values

    def drop(self, reasons: Mapping[str, int]) -> None:
        """Count rows that are left out, by reason."""
        for reason, count in reasons.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def judge(self, source: str, *, table: str) -> TableReading:
        """Return the final reading of `table`, which was read from `source`.

        Raises:
            DataError: A column holds too many unreadable values.
        """
        for column, found in self.found.items():
            refuse_if_unreadable(
                masked(source), column, found.type,
                present=found.present, unreadable=found.unreadable, where=found.where,
            )  # fmt: skip
        lost = {column: found.unreadable for column, found in self.found.items() if found.unreadable}
        dropped = {reason: count for reason, count in self.dropped.items() if count}
        return TableReading(table=table, rows=self.rows, kept=self.kept, dropped=dropped, unreadable=lost)
