"""What a shopper did before a moment, against shops of a few entries."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from client.data.rows.shop import in_order, order_numbers
from client.data.rows.shoppers import ByShopper


def days(*numbers: float) -> pl.Series:
    return pl.Series([datetime(2024, 1, 1) + timedelta(days=n) for n in numbers], dtype=pl.Datetime("us"))


ANN, BOB = 2**64 - 1, 7
ENTRIES = ByShopper(pl.Series([ANN, BOB, None, ANN, ANN], dtype=pl.UInt64), days(0, 1, 1, 1, 5))


def before(shopper: int | None, day: float) -> list[int | None]:
    """Positions of the shopper's entries before a day."""
    first, last = ENTRIES.before(pl.Series([shopper], dtype=pl.UInt64), days(day))
    return ENTRIES.positions(np.arange(first[0], last[0])).to_list()


def test_entries_strictly_before_the_moment_are_found_in_the_order_of_time() -> None:
    assert before(ANN, 1) == [0]
    assert before(ANN, 1.5) == [0, 3]
    assert before(ANN, 9) == [0, 3, 4]
    assert before(BOB, 9) == [1]


def test_nobody_and_strangers_have_no_entries() -> None:
    assert before(None, 9) == before(8, 9) == before(9, 9) == []


def test_the_following_entry_is_the_same_shoppers_next() -> None:
    shoppers = pl.Series([ANN, BOB, None, ANN, ANN], dtype=pl.UInt64)
    assert ENTRIES.following(shoppers, pl.Series(range(5))).to_list() == [3, None, None, 4, None]


def test_a_shop_of_guests_has_no_entries() -> None:
    guests = ByShopper(pl.Series([None, None]), days(0, 1))
    first, last = guests.before(pl.Series([ANN], dtype=pl.UInt64), days(9))
    assert (last - first).tolist() == [0]
    assert guests.following(pl.Series([None]), pl.Series([0])).to_list() == [None]


def test_orders_are_numbered_by_their_first_line_even_where_lines_are_mixed() -> None:
    assert order_numbers(pl.Series([9, 9, 4, 9, 4, 6], dtype=pl.UInt64)).to_list() == [0, 0, 1, 0, 1, 2]
    assert order_numbers(pl.Series([], dtype=pl.UInt64)).to_list() == []


def test_rows_of_one_moment_stay_as_they_were() -> None:
    frame = pl.DataFrame({"t": days(2, 1, 2, 1), "n": [0, 1, 2, 3]})
    assert in_order(frame, "t")["n"].to_list() == [1, 3, 0, 2]
