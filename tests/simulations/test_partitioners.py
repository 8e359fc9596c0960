from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_model.errors import DataError
from simulations.partitioners import by_dirichlet, by_key, by_quantity, by_time

TABLES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None]), st.integers(0, 5)),
    min_size=1,
    max_size=60,
).map(lambda rows: pl.DataFrame(rows, schema=["label", "order", "time"], orient="row").with_row_index("row"))
MERCHANTS = st.integers(1, 5)
SEEDS = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def assert_every_row_once(parts: dict[str, pl.DataFrame], table: pl.DataFrame) -> None:
    assert pl.concat(parts.values()).sort("row").equals(table)


def assert_kept_together(parts: dict[str, pl.DataFrame], column: str) -> None:
    owners = pl.concat(rows.select(column, owner=pl.lit(name)) for name, rows in parts.items()).drop_nulls(
        column
    )
    assert owners.group_by(column).agg(pl.col("owner").n_unique()).filter(pl.col("owner") > 1).is_empty()


def owner_of_rows(parts: dict[str, pl.DataFrame]) -> dict[int, str]:
    return {row: name for name, rows in parts.items() for row in rows["row"]}


@given(TABLES)
def test_a_key_gives_every_row_to_one_merchant(table):
    assert_every_row_once(by_key(table, "label"), table)


@given(TABLES, MERCHANTS, st.floats(0.05, 50), SEEDS)
def test_dirichlet_gives_every_row_to_one_merchant(table, merchants, alpha, generator):
    parts = by_dirichlet(
        table, "label", merchants=merchants, alpha=alpha, generator=generator, together="order"
    )
    assert_every_row_once(parts, table)
    assert_kept_together(parts, "order")


@given(TABLES, MERCHANTS, st.floats(0, 3), SEEDS)
def test_quantity_gives_every_row_to_one_merchant(table, merchants, sigma, generator):
    parts = by_quantity(table, merchants=merchants, sigma=sigma, generator=generator, together="order")
    assert_every_row_once(parts, table)
    assert_kept_together(parts, "order")


@given(TABLES, MERCHANTS)
def test_time_gives_every_row_to_one_merchant_and_each_merchant_a_period(table, merchants):
    parts = by_time(table, "time", merchants=merchants)
    assert_every_row_once(parts, table)
    periods = [(rows["time"].min(), rows["time"].max()) for rows in parts.values()]
    assert all(earlier[1] < later[0] for earlier, later in pairwise(periods))


def table_of(n: int) -> pl.DataFrame:
    """n rows, half of each label."""
    return pl.DataFrame({"row": np.arange(n), "label": np.arange(n) % 2, "time": np.arange(n)})


def test_with_a_large_alpha_all_mixes_are_alike():
    parts = by_dirichlet(table_of(4000), "label", merchants=4, alpha=1e6, generator=np.random.default_rng(0))
    # 4,000 rows over 4 merchants are 1,000 each, half of label 1
    assert [len(rows) for rows in parts.values()] == pytest.approx([1000] * 4, abs=10)
    assert [rows["label"].sum() for rows in parts.values()] == pytest.approx([500] * 4, abs=5)


def test_with_a_small_alpha_a_label_sits_with_one_merchant():
    parts = by_dirichlet(table_of(4000), "label", merchants=4, alpha=1e-3, generator=np.random.default_rng(0))
    largest = [max(rows.filter(label=label).height for rows in parts.values()) for label in (0, 1)]
    assert largest == pytest.approx([2000, 2000], abs=2)


def test_without_spread_all_sizes_are_equal():
    parts = by_quantity(table_of(100), merchants=4, sigma=0.0, generator=np.random.default_rng(0))
    assert [len(rows) for rows in parts.values()] == [25, 25, 25, 25]


def test_with_spread_the_logarithms_of_the_sizes_have_it():
    # the standard error of a standard deviation over 400 merchants is 1 / sqrt(800), 4 % of it
    parts = by_quantity(table_of(200_000), merchants=400, sigma=1.0, generator=np.random.default_rng(0))
    assert np.std([np.log(len(rows)) for rows in parts.values()]) == pytest.approx(1.0, rel=0.15)


def test_periods_are_about_equal_in_rows():
    parts = by_time(table_of(10), "time", merchants=3)
    assert [rows["time"].to_list() for rows in parts.values()] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_the_same_generator_gives_the_same_owners():
    first, again = (
        by_quantity(table_of(50), merchants=3, sigma=1.0, generator=np.random.default_rng(7))
        for _ in range(2)
    )
    assert owner_of_rows(first) == owner_of_rows(again)


def test_rare_keys_are_left_out():
    parts = by_key(pl.DataFrame({"country": ["ES", "ES", "PT"]}), "country", minimum=2)
    assert list(parts) == ["es"]


def test_a_missing_key_is_refused():
    with pytest.raises(DataError, match="country has 1 missing"):
        by_key(pl.DataFrame({"country": ["ES", None]}), "country")


def test_two_keys_with_one_name_are_refused():
    with pytest.raises(DataError, match="no merchant name of its own"):
        by_key(pl.DataFrame({"country": ["United Kingdom", "united kingdom"]}), "country")


def test_a_missing_time_is_refused():
    with pytest.raises(DataError, match="time has 1 missing"):
        by_time(pl.DataFrame({"time": [1, None]}), "time", merchants=2)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="alpha=0"):
        by_dirichlet(table_of(4), "label", merchants=2, alpha=0, generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match="sigma=-1"):
        by_quantity(table_of(4), merchants=2, sigma=-1, generator=np.random.default_rng(0))
    with pytest.raises(ValueError, match="merchants=0"):
        by_time(table_of(4), "time", merchants=0)
