"""From what an export holds to typed columns, with a count of what could not be read.

A value that cannot be read as its column's type becomes missing and is counted. More than
`TOLERATED` of them means that the column is not what it was declared to be: that is an error, not noise.
Errors give the position of the first such value, never the value: exports hold personal data.
"""

from dataclasses import dataclass

import polars as pl

from shared_model.errors import DataError

from .canonical import ColumnType

TOLERATED = 0.05
"""Share of the values of a column that may be unreadable."""

_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y-%m-%d",
)
_ZONED_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z")
_FLAGS = {"true": True, "t": True, "yes": True, "1": True, "1.0": True} | {
    "false": False, "f": False, "no": False, "0": False, "0.0": False,
}  # fmt: skip
_NOT_A_VALUE = ("", "na", "n/a", "nan", "null", "none")
EXPECTED: dict[ColumnType, str] = {
    "time": "times such as 2024-03-01 13:45:00 (ISO 8601)",
    "number": "numbers with a decimal point",
    "flag": "true or false",
    "id": "text or whole numbers",
    "category": "text",
    "text": "text",
}
UTC = pl.Datetime("us", "UTC")


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A typed column.

    Attributes:
        values: Text, float, boolean or UTC time, null where missing.
        present: Number of values that were not empty.
        unreadable: Number of them that are not of the type.
        first: Row of the first of these, counted from 0; -1 where there is none.
    """

    values: pl.Series
    present: int
    unreadable: int
    first: int


def convert(values: pl.Series, type_: ColumnType, *, timezone: str) -> Converted:
    """Return `values` as `type_`; times without a zone are local to `timezone`."""
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    blank = blank_values(values, type_)
    typed = _typed(values, type_, timezone).alias(values.name)
    lost = typed.is_null() & ~blank
    first = lost.arg_max() if lost.any() else None
    return Converted(
        values=typed,
        present=int((~blank).sum()),
        unreadable=int(lost.sum()),
        first=-1 if first is None else first,
    )


def flags_as_numbers(values: pl.Series) -> pl.Series:
    """Return text with "1" and "0" in the place of words such as yes and false; all else stays.

    Each value is looked at alone, so what becomes of one does not depend on how the others are written.

    >>> flags_as_numbers(pl.Series(["Yes", "f", "1.0", "2"])).to_list()
    ['1', '0', '1.0', '2']
    """
    words = {word: str(int(flag)) for word, flag in _FLAGS.items() if word.isalpha()}
    lower = values.str.strip_chars().str.to_lowercase()
    return lower.replace_strict(words, default=values, return_dtype=pl.String)


def refuse_if_unreadable(
    source: str, column: str, type_: ColumnType, *, present: int, unreadable: int, where: str
) -> None:
    """Raise where a column holds more unreadable values than are tolerated.

    Raises:
        DataError: More than `TOLERATED` of the values are unreadable.
    """
    if unreadable > TOLERATED * present:
        raise DataError(
            f"{source}: in column {column!r}, {unreadable} of {present} values are not {EXPECTED[type_]}; "
            f"the first is in {where}. Correct the export, or map another column."
        )


def blank_values(values: pl.Series, type_: ColumnType) -> pl.Series:
    """Return which values mean "missing": null, NaN, blank text, and NA and the like outside free text."""
    if values.dtype == pl.String:
        words = ("",) if type_ in ("id", "category", "text") else _NOT_A_VALUE
        return values.is_null() | values.str.strip_chars().str.to_lowercase().is_in(words)
    if values.dtype.is_float():
        return values.is_null() | values.is_nan()
    return values.is_null()


_TARGETS: dict[ColumnType, pl.DataType] = {"time": UTC, "number": pl.Float64(), "flag": pl.Boolean()}


def _typed(values: pl.Series, type_: ColumnType, timezone: str) -> pl.Series:
    value, dtype, target = pl.col("v"), values.dtype, _TARGETS.get(type_, pl.String())
    if not _can_be(dtype, type_):
        return pl.Series([None], dtype=target).new_from_index(0, len(values))
    if type_ == "time":
        expression = _time(value, dtype, timezone)
    elif type_ == "number":
        expression = _number(value, dtype)
    elif type_ == "flag":
        text = value.cast(pl.String).str.strip_chars().str.to_lowercase()
        expression = text.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean)
    else:
        expression = _text(value, dtype)
    return values.to_frame("v").select(expression).to_series()


def _can_be(dtype: pl.DataType, type_: ColumnType) -> bool:
    if dtype == pl.String:
        return True
    if type_ == "time":
        return dtype == pl.Date or isinstance(dtype, pl.Datetime)
    if type_ == "number":
        return dtype.is_numeric() or dtype == pl.Boolean
    return not (dtype.is_nested() or dtype == pl.Null or dtype == pl.Object or dtype == pl.Binary)


def _text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():  # 17850.0 is how an export writes the id 17850 beside missing ones
        whole = value.cast(pl.Int64, strict=False)
        text = pl.when(whole == value).then(whole.cast(pl.String)).otherwise(value.cast(pl.String))
        return pl.when(value.is_nan()).then(None).otherwise(text)
    text = value.cast(pl.String, strict=False).str.strip_chars()
    return pl.when(text == "").then(None).otherwise(text)


def _number(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String:
        value = value.str.strip_chars()
    number = value.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def _time(value: pl.Expr, dtype: pl.DataType, timezone: str) -> pl.Expr:
    if dtype == pl.String:
        text = value.str.strip_chars().str.replace("Z$", "+00:00")
        naive = pl.coalesce(text.str.to_datetime(f, time_unit="us", strict=False) for f in _TIME_FORMATS)
        zoned = pl.coalesce(
            text.str.to_datetime(f, time_unit="us", time_zone="UTC", strict=False) for f in _ZONED_FORMATS
        )
        return pl.coalesce(zoned, _localized(naive, timezone))
    zone = dtype.time_zone if isinstance(dtype, pl.Datetime) else None
    value = value.cast(pl.Datetime("us", zone))
    return value.dt.convert_time_zone("UTC") if zone else _localized(value, timezone)


def _localized(naive: pl.Expr, timezone: str) -> pl.Expr:
    """Local times as UTC: of an hour that occurs twice the first one, and null in an hour that is skipped."""
    return naive.dt.replace_time_zone(
        timezone, ambiguous="earliest", non_existent="null"
    ).dt.convert_time_zone("UTC")


def lists_of_text(values: pl.Series, separator: str) -> pl.Series:
    """Return lists of text; text is split, a blank one is missing."""
    if isinstance(values.dtype, pl.List | pl.Array):
        return values.cast(pl.List(pl.String))
    text = pl.col("v").cast(pl.String).str.strip_chars()
    split = pl.when(text != "").then(text.str.split(separator).list.eval(pl.element().str.strip_chars()))
    return values.alias("v").to_frame().select(split).to_series()


def lists_of_numbers(values: pl.Series, separator: str) -> pl.Series:
    """Return lists of numbers; what is no number is missing.

    >>> lists_of_numbers(pl.Series(["0.5|2", "", None]), "|").to_list()
    [[0.5, 2.0], None, None]
    """
    if isinstance(values.dtype, pl.List | pl.Array) and values.dtype.inner.is_numeric():
        return values.cast(pl.List(pl.Float32), strict=False)
    return lists_of_text(values, separator).cast(pl.List(pl.Float32), strict=False)
