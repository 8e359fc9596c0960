from datetime import date

import polars as pl
import pytest

from shared_model.errors import DataError
from simulations import seeds
from simulations.market import Market, MerchantTables

ROWS = pl.DataFrame({"order_id": ["a"]})


def test_a_merchant_needs_shop_tables_or_a_ready_table():
    with pytest.raises(DataError, match="got nothing"):
        MerchantTables()


def test_a_merchant_cannot_have_both():
    with pytest.raises(DataError, match="got orders, table"):
        MerchantTables(orders=ROWS, table=ROWS)


def test_events_alone_are_no_shop():
    with pytest.raises(DataError, match="events needs orders"):
        MerchantTables(events=ROWS)


@pytest.mark.parametrize("name", ["../elsewhere", "Upper", "", "a" * 64, "white space"])
def test_a_name_that_is_no_safe_folder_is_refused(name):
    with pytest.raises(DataError, match="not allowed"):
        Market(name="m", merchants={name: MerchantTables(orders=ROWS)})


@pytest.mark.parametrize(
    ("validation_from", "test_from"),
    [(date(2020, 2, 1), date(2020, 1, 1)), (date(2020, 1, 1), date(2020, 1, 1)), (None, date(2020, 1, 1))],
)
def test_split_dates_come_in_order_and_together(validation_from, test_from):
    with pytest.raises(DataError, match="the first earlier"):
        Market(name="m", merchants={}, validation_from=validation_from, test_from=test_from)


def test_a_generator_depends_on_where_one_name_ends_and_the_next_begins():
    assert seeds.generator(0, "ab", "c").random() != seeds.generator(0, "a", "bc").random()


def test_another_seed_draws_something_else():
    assert seeds.generator(0, "a").random() != seeds.generator(1, "a").random()
