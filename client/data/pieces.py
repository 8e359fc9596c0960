"""Rows of a source on their way, and where each of them came from."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

PIECE_ROWS = 50_000
"""About so many rows are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows of a source.

    Attributes:
        source: The file, or the URL without its password.
        first_row: Position of the first of the rows in that source, from 0.
        frame: The rows, with the source's own columns.
    """

    source: str
    first_row: int
    frame: pl.DataFrame

    def where(self, row: int) -> str:
        """Name a row of this piece for a person; rows are counted from 1, without the header."""
        return f"row {self.first_row + row + 1} of {Path(self.source).name}"


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says, cut to 200 characters."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
