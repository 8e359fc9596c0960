"""From a file, a glob of files or a database query to frames, piece by piece.

CSV is read as text: types are decided later, deliberately, by what a column is declared to be
(`columns.py`). Nothing here holds more than one piece in memory, and of a piece only the columns that are
asked for.
"""

import glob
import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
from polars.exceptions import PolarsError

from client.merchant_file import is_url, masked
from shared_model.errors import DataError

from .database import query_pieces
from .pieces import PIECE_ROWS, Piece, first_line

Select = Callable[[str, Sequence[str]], Mapping[str, pl.Expr]]
"""Name of a source and its columns -> what to read of it, by name."""


def all_columns(source: str, columns: Sequence[str]) -> dict[str, pl.Expr]:
    """Read everything, under its own names."""
    return {column: pl.col(column) for column in columns}


def pieces(
    source: str, query: str = "", *, rows: int = PIECE_ROWS, select: Select = all_columns
) -> Iterator[Piece]:
    """Yield the rows of a source in their order, about `rows` at a time.

    Args:
        source: A path or glob that ends in .csv, .csv.gz or .parquet, or a database URL.
        query: SQL; only with a URL.
        rows: Of one piece.
        select: Asked once per file what to read; other columns are never decoded.

    Raises:
        DataError: The source is missing, cannot be read, is not UTF-8, or holds no rows.
    """
    found = _queried(source, query, rows, select) if is_url(source) else _files(source, rows, select)
    empty = True
    for piece in found:
        empty = empty and piece.frame.is_empty()
        yield piece
    if empty:
        raise DataError(f"{masked(source)} holds no rows. Export at least one, or correct the source.")


def stamp(source: str) -> list[tuple[str, int, int]] | None:
    """Return name, size and time of change of each file of a source; None where a database cannot tell."""
    if is_url(source):
        return None
    return [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in matching(source)]


def matching(source: str) -> list[Path]:
    """Return the files that a path or glob names, in the order of their names.

    Raises:
        DataError: There are none.
    """
    found = sorted(Path(name) for name in glob.glob(source, recursive=True))
    if not found:
        raise DataError(f"{source}: there is no such file. Correct `source`, or write the export there.")
    return found


def _queried(source: str, query: str, rows: int, select: Select) -> Iterator[Piece]:
    for piece in query_pieces(source, query, rows):
        yield replace(piece, frame=piece.frame.select(**select(piece.source, piece.frame.columns)))


def _files(source: str, rows: int, select: Select) -> Iterator[Piece]:
    for path in matching(source):
        first = 0
        read = _parquet if path.suffix == ".parquet" else _csv
        for frame in read(path, rows, select):
            yield Piece(source=str(path), first_row=first, frame=frame)
            first += len(frame)


def _parquet(path: Path, rows: int, select: Select) -> Iterator[pl.DataFrame]:
    """Slice after slice: a streaming scan would fetch many row groups ahead, whatever their size."""
    try:
        scanned = pl.scan_parquet(path, glob=False)
        wanted = select(str(path), scanned.collect_schema().names())
        count = scanned.select(pl.len()).collect().item()
        for start in range(0, max(count, 1), rows):
            yield scanned.slice(start, rows).select(**wanted).collect()
    except (PolarsError, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({first_line(error)}). Export it again."
        ) from None


def _csv(path: Path, rows: int, select: Select) -> Iterator[pl.DataFrame]:
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Export it again, with a header line.")
    try:
        separator = _separator(path)
        scanned = pl.scan_csv(path, infer_schema=False, separator=separator, glob=False)
        wanted = scanned.select(**select(str(path), scanned.collect_schema().names()))
        yield from _collected(wanted, rows)
    except (PolarsError, UnicodeDecodeError) as error:
        line = _line_that_is_not_utf8(path)
        if line:
            raise DataError(
                f"{path}: line {line} is not UTF-8 text. Export as UTF-8, or convert the file: "
                "iconv -f WINDOWS-1252 -t UTF-8."
            ) from None
        raise DataError(
            f"{path} is not a readable CSV file ({first_line(error)}). Check that every line has as many "
            "values as the header, and that text with separators stands in quotes."
        ) from None


def _collected(scanned: pl.LazyFrame, rows: int) -> Iterator[pl.DataFrame]:
    columns = scanned.collect_schema()
    some = False
    for frame in scanned.collect_batches(chunk_size=rows, maintain_order=True):
        some = True
        yield frame
    if not some:
        yield pl.DataFrame(schema=columns)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _separator(path: Path) -> str:
    """The one of comma, semicolon and tab that occurs most often in the header."""
    with _opened(path) as file:
        header = file.readline().decode("utf-8")
    return max((",", ";", "\t"), key=header.count)


def _line_that_is_not_utf8(path: Path) -> int:
    """Number of the first such line, from 1; 0 where there is none."""
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0
