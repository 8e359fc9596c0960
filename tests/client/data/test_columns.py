"""Exports hold all sorts of texts; what cannot be read is counted, and too much of it is refused."""

from datetime import UTC, datetime

import polars as pl
import pytest

from client.data.columns import convert, refuse_if_unreadable
from shared_model.errors import DataError


def test_times_without_a_zone_are_local() -> None:
    local = convert(pl.Series(["2024-07-01 12:00:00"]), "time", timezone="Europe/Madrid").values
    assert local.to_list() == [datetime(2024, 7, 1, 10, tzinfo=UTC)]  # Madrid is two hours ahead in July


@pytest.mark.parametrize(
    "written",
    [
        "2024-07-01 10:00:00", "2024-07-01T10:00:00.000", "2024-07-01T10:00:00Z", "2024-07-01T12:00:00+02:00",
        "2024-07-01 10:00", "2024/07/01 10:00:00", " 2024-07-01 10:00:00 ",
    ],
)  # fmt: skip
def test_many_notations_are_one_moment(written: str) -> None:
    assert convert(pl.Series([written]), "time", timezone="UTC").values[0] == datetime(
        2024, 7, 1, 10, tzinfo=UTC
    )


def test_of_an_hour_that_occurs_twice_the_first_is_meant() -> None:
    autumn = convert(pl.Series(["2024-10-27 02:30:00"]), "time", timezone="Europe/Madrid").values
    assert autumn[0] == datetime(2024, 10, 27, 0, 30, tzinfo=UTC)


def test_an_hour_that_the_clock_skips_is_unreadable() -> None:
    assert convert(pl.Series(["2024-03-31 02:30:00"]), "time", timezone="Europe/Madrid").unreadable == 1


def test_whole_floats_are_ids_without_a_point() -> None:
    assert convert(pl.Series([17850.0, None]), "id", timezone="UTC").values.to_list() == ["17850", None]


def test_unreadable_values_are_missing_and_counted_with_the_first_position() -> None:
    found = convert(pl.Series(["1", "", "NA", "x", "2.5", "y"]), "number", timezone="UTC")
    assert found.values.to_list() == [1.0, None, None, None, 2.5, None]
    assert (found.present, found.unreadable, found.first) == (4, 2, 3)


@pytest.mark.parametrize("dtype", [pl.List(pl.Int64), pl.Binary, pl.Duration])
def test_an_empty_column_of_a_strange_type_is_missing(dtype: pl.DataType) -> None:
    found = convert(pl.Series([None, None], dtype=dtype), "number", timezone="UTC")
    assert (found.values.dtype, found.values.null_count(), found.unreadable) == (pl.Float64, 2, 0)


def test_lists_are_no_numbers() -> None:
    assert convert(pl.Series([[1], [2]]), "number", timezone="UTC").unreadable == 2


def test_flags_may_be_words_or_numbers() -> None:
    flags = convert(pl.Series(["Yes", "no", "1", "FALSE", ""]), "flag", timezone="UTC").values
    assert flags.to_list() == [True, False, True, False, None]


def test_5_percent_are_tolerated() -> None:
    refuse_if_unreadable("orders.csv", "price", "number", present=100, unreadable=5, where="row 7")


def test_more_than_5_percent_are_refused_by_position_and_never_by_value() -> None:
    with pytest.raises(DataError, match=r"orders\.csv: in column 'price', 6 of 100 .* row 7") as caught:
        refuse_if_unreadable("orders.csv", "price", "number", present=100, unreadable=6, where="row 7")
    assert "decimal point" in str(caught.value)
