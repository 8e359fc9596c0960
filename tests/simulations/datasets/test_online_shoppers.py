import polars as pl
import pytest

from shared_model.errors import DataError
from simulations.datasets import OnlineShoppersMarket, online_shoppers, read
from simulations.datasets.online_shoppers import FEATURES, LABELS

SESSIONS = pl.DataFrame({column: [1.0, 2.0, 3.0] for column in FEATURES.values()}).with_columns(
    TrafficType=pl.Series([2, 2, 5]),
    Weekend=pl.Series([True, False, True]),
    Revenue=pl.Series([False, True, False]),
)


def test_every_traffic_type_becomes_a_merchant_with_a_ready_table():
    market = online_shoppers.from_sessions(SESSIONS, OnlineShoppersMarket(directory=".", minimum=1))
    assert {name: len(tables.table) for name, tables in market.merchants.items()} == {
        "traffictype-2": 2,
        "traffictype-5": 1,
    }


def test_rare_traffic_types_are_left_out_and_counted():
    market = online_shoppers.from_sessions(SESSIONS, OnlineShoppersMarket(directory=".", minimum=2))
    assert list(market.merchants) == ["traffictype-2"]
    assert market.dropped == {"of values that are too rare": 1}


def test_labels_are_zero_and_one():
    market = online_shoppers.from_sessions(SESSIONS, OnlineShoppersMarket(directory=".", minimum=2))
    assert market.merchants["traffictype-2"].table["Revenue"].to_list() == [0, 1]


def test_the_column_that_gives_the_label_away_is_not_read():
    assert "PageValues" not in {*FEATURES.values(), *LABELS.values()}


def test_without_the_file_it_says_where_to_download_it(tmp_path):
    with pytest.raises(DataError, match="UCI data set 468"):
        read(OnlineShoppersMarket(directory="."), tmp_path)


def test_every_session_of_the_real_file_is_held_once(public_data):
    market = read(OnlineShoppersMarket(directory=str(public_data("online_shoppers")), by="Region"))
    assert (
        sum(len(tables.table) for tables in market.merchants.values()) == 12_330
    )  # the count that UCI gives
