"""Open the original file of a public data set, or say where it can be had."""

from collections.abc import Iterable
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from shared_model.errors import DataError


def read(directory: Path, names: Iterable[str], columns: Iterable[str], *, obtain: str) -> pl.DataFrame:
    """Return the given columns of the first file of `names` that lies in `directory`, categories as text.

    Args:
        directory: Folder that the user names.
        names: Parquet or (gzipped) CSV files that will do, the best first.
        columns: All of them must exist.
        obtain: Where the user gets the data, in words; part of every error.

    Raises:
        DataError: No such file, a file that cannot be read, or a column that it lacks.
    """
    names = list(names)
    path = next((directory / name for name in names if (directory / name).is_file()), None)
    if path is None:
        raise DataError(f"{directory} holds no {' or '.join(names)}. {obtain}")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    except (PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read ({error}). {obtain}") from error
    columns = list(columns)
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(f"{path} lacks the columns {', '.join(missing)}. {obtain}")
    # Text, not dictionaries: a dictionary of the whole file would travel into every merchant's folder.
    return frame.select(columns).with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
