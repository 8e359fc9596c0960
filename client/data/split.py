"""Which rows train, which validate and which test; and which outcomes were known in time to count.

Train is what happened before `validation_from`, validation what happened before `test_from`, test the
rest. A label counts only if its outcome was known strictly before its part ended, so that training never
sees what the validation period brought; in test it always counts.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.merchant_file import Split

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
"""Their positions are the codes that `assign` returns."""

_VALIDATION_PERCENT = _TEST_PERCENT = 15


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Two moments, UTC."""

    validation_from: datetime
    test_from: datetime


_NEVER = Bounds(validation_from=datetime(1, 1, 1, tzinfo=UTC), test_from=datetime(1, 1, 1, tzinfo=UTC))


def midnight(day: date, timezone: str) -> datetime:
    """Return the first moment of a day in a time zone, as UTC."""
    return datetime.combine(day, time(), ZoneInfo(timezone)).astimezone(UTC)


def end_of_day(last: datetime, timezone: str) -> datetime:
    """Return the midnight that follows a moment, as UTC: exports are taken to hold whole days."""
    return midnight(last.astimezone(ZoneInfo(timezone)).date() + timedelta(days=1), timezone)


def bounds(split: Split, *, timezone: str, last: datetime) -> Bounds:
    """Return where the parts begin.

    Args:
        split: Dates, or days counted back from the end of the last row's day. With folds no part has an end
            in time, so that every label counts.
        timezone: Whose midnights are meant.
        last: Time of the last row, UTC.
    """
    if split.folds:
        return _NEVER
    if (dated := dated_bounds(split, timezone=timezone)) is not None:
        return dated
    test = end_of_day(last, timezone) - timedelta(days=split.test_days)
    return Bounds(validation_from=test - timedelta(days=split.validation_days), test_from=test)


def dated_bounds(split: Split, *, timezone: str) -> Bounds | None:
    """Return where the parts begin if the split names dates, and None if it counts days back."""
    if split.validation_from is None or split.test_from is None:
        return None
    return Bounds(
        validation_from=midnight(split.validation_from, timezone),
        test_from=midnight(split.test_from, timezone),
    )


def assign(times: NDArray[np.datetime64], found: Bounds) -> NDArray[np.uint8]:
    """Return the part of every row, as a position in `PARTS`, shape (B,)."""
    edges = np.array([_plain(found.validation_from), _plain(found.test_from)], dtype="datetime64[us]")
    return np.searchsorted(edges, times, side="right").astype(np.uint8)


def assign_by_fold(units: NDArray[np.uint64], folds: int, fold: int) -> NDArray[np.uint8]:
    """Return the part of every row in cross-validation by shopper, shape (B,); every shopper tests once.

    Args:
        units: Hash of every row's shopper, shape (B,).
        folds: How many parts there are.
        fold: The one that tests; the next one validates.
    """
    mine = (units // np.uint64(100) % np.uint64(folds)).astype(np.int64)  # apart from `assign_by_hash`
    codes = np.full(len(units), PARTS.index("train"), np.uint8)
    codes[mine == (fold + 1) % folds] = PARTS.index("validation")
    codes[mine == fold] = PARTS.index("test")
    return codes


def assign_by_hash(units: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the part of every row without times: 70 % of the units train, 15 % validate, 15 % test."""
    percent = (units % np.uint64(100)).astype(np.int64)
    edges = [100 - _VALIDATION_PERCENT - _TEST_PERCENT, 100 - _TEST_PERCENT]
    return np.searchsorted(edges, percent, side="right").astype(np.uint8)


def known_in_time(label: pl.Expr, known: pl.Expr, found: Bounds) -> pl.Expr:
    """Return a label where it was known before the part of its row (column `time`) ended, else null."""
    deadline = (
        pl.when(pl.col("time") < found.validation_from)
        .then(pl.lit(found.validation_from))
        .when(pl.col("time") < found.test_from)
        .then(pl.lit(found.test_from))
    )
    return pl.when(deadline.is_null() | (known < deadline)).then(label)


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
