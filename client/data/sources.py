"""From a file, a glob of files or a database query to frames, piece by piece.

CSV is read as text: types are decided later, deliberately, by what a column is declared to be
(`columns.py`). Nothing here holds more than one piece in memory.
"""

import glob
import gzip
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import polars as pl
import sqlalchemy
from polars.exceptions import PolarsError

from client.config import is_url, masked
from shared_model.errors import DataError

log = logging.getLogger(__name__)

PIECE_ROWS = 50_000


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


class Spans:
    """Remembers where the rows of concatenated pieces came from."""

    def __init__(self) -> None:
        self._found: list[tuple[str, int, int]] = []

    def add(self, piece: Piece) -> None:
        """Note that the rows of `piece` come next."""
        self._found.append((piece.source, piece.first_row, len(piece.frame)))

    def where(self, row: int) -> str:
        """Name a row of the whole for a person (see `Piece.where`)."""
        for source, first, length in self._found:
            if row < length:
                return f"row {first + row + 1} of {Path(source).name}"
            row -= length
        return f"row {row + 1} behind the last"


def pieces(source: str, query: str = "", *, rows: int = PIECE_ROWS) -> Iterator[Piece]:
    """Yield the rows of a source in their order, about `rows` at a time.

    Args:
        source: A path or glob that ends in .csv, .csv.gz or .parquet, or a database URL.
        query: SQL; only with a URL.
        rows: Of one piece.

    Raises:
        DataError: The source is missing, cannot be read, is not UTF-8, or holds no rows.
    """
    found = _sql(source, query, rows) if is_url(source) else _files(source, rows)
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


def _files(source: str, rows: int) -> Iterator[Piece]:
    for path in matching(source):
        first = 0
        for frame in _parquet(path, rows) if path.suffix == ".parquet" else _csv(path, rows):
            yield Piece(source=str(path), first_row=first, frame=frame)
            first += len(frame)


def _parquet(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    try:
        scanned = pl.scan_parquet(path, glob=False)
        yield from _collected(scanned, rows)
    except (PolarsError, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({_first_line(error)}). Export it again."
        ) from None


def _csv(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Export it again, with a header line.")
    try:
        separator = _separator(path)
        scanned = pl.scan_csv(path, infer_schema=False, separator=separator, glob=False)
        yield from _collected(scanned, rows)
    except (PolarsError, UnicodeDecodeError) as error:
        line = _line_that_is_not_utf8(path)
        if line:
            raise DataError(
                f"{path}: line {line} is not UTF-8 text. Export as UTF-8, or convert the file: "
                "iconv -f WINDOWS-1252 -t UTF-8."
            ) from None
        raise DataError(
            f"{path} is not a readable CSV file ({_first_line(error)}). Check that every line has as many "
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


def _opened(path: Path) -> Any:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


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


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


# --- databases ----------------------------------------------------------------------------------------


def _sql(source: str, query: str, rows: int) -> Iterator[Piece]:
    """Run the query in a transaction that is rolled back; stream its rows from a server-side cursor."""
    shown = masked(source)
    url = _with_environment(source)
    try:
        engine = sqlalchemy.create_engine(url)
    except (sqlalchemy.exc.SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
        raise DataError(
            f"{shown}: {_harmless(error, url)}. Check the URL, and that its driver is installed."
        ) from None
    try:
        with engine.connect() as connection:
            streaming = connection.execution_options(stream_results=True, yield_per=rows)
            result = streaming.execute(sqlalchemy.text(_without_parameters(query)))
            columns, first = list(result.keys()), 0
            for partition in result.partitions(rows):
                yield Piece(source=shown, first_row=first, frame=_frame(columns, partition))
                first += len(partition)
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise DataError(
            f"{shown}: the query failed ({_harmless(error, url)}). Check the query, the user and the server."
        ) from None
    finally:
        engine.dispose()


def _without_parameters(query: str) -> str:
    """Escape what SQLAlchemy would take for a parameter, such as the colon in `note like ':x'`."""
    return re.sub(r"(?<![:\w\\]):(?=\w)", r"\:", query)


def _with_environment(source: str) -> str:
    """Put environment variables in the place of ${NAME}, quoted as a URL needs it."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise DataError(
                f"{masked(source)}: the environment variable {name} is not set. Set it and try again."
            )
        return quote_plus(os.environ[name])

    return re.sub(r"\$\{(\w+)\}", value, source)


def _harmless(error: BaseException, url: str) -> str:
    """What a driver says, without SQL, parameters and password."""
    text = _first_line(getattr(error, "orig", None) or error)
    try:
        password = sqlalchemy.make_url(url).password
    except sqlalchemy.exc.ArgumentError:
        return type(error).__name__
    return masked(text.replace(str(password), "***") if password else text)


def _frame(columns: list[str], rows: Any) -> pl.DataFrame:
    """Rows of a cursor as a frame; a column of mixed types becomes text, so that it is judged like CSV."""
    values = zip(*rows, strict=True)
    return pl.DataFrame([_series(name, list(column)) for name, column in zip(columns, values, strict=True)])


def _series(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(v) for v in values if v is not None}
    if len(kinds) > 1 and not kinds <= {int, float, bool}:
        return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)
    try:
        series = pl.Series(name, values, strict=False)
    except (PolarsError, TypeError, OverflowError):
        return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)
    if series.dtype == pl.Object:
        return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)
    return series.cast(pl.Float64) if isinstance(series.dtype, pl.Decimal) else series
