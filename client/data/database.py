"""Rows of a database query, streamed, with passwords kept out of every message."""

import os
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import polars as pl
import sqlalchemy
from polars.exceptions import PolarsError

from client.merchant_file import masked
from shared_model.errors import DataError

from .pieces import Piece, first_line


def query_pieces(source: str, query: str, rows: int) -> Iterator[Piece]:
    """Yield the rows of a query, about `rows` at a time.

    The query runs in a transaction that is rolled back; its rows come from a server-side cursor.

    Args:
        source: An SQLAlchemy URL, perhaps with ${NAME} for an environment variable.
        query: SQL.
        rows: Of one piece.

    Raises:
        DataError: There is no such driver, server, user or variable, or the query fails.
    """
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
    text = first_line(getattr(error, "orig", None) or error)
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
