from datetime import datetime

import polars as pl
import pytest

from client.data.canonical import TABLES
from shared_model.errors import DataError
from simulations.datasets import OnlineRetailMarket, online_retail, read

COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "UnitPrice", "CustomerID", "Country"]
LINES = pl.DataFrame(
    [
        ("1", "10001A", "RED CUP", 2, 1.5, 7, "Germany"),
        ("2", "10001A", "RED CUP", 1, 1.5, None, "Germany"),
        ("3", "10001A", "damaged?", 1, 1.7, 8, "Germany"),
        ("C4", "10001A", "RED CUP", -2, 1.5, 7, "Germany"),
        ("5", "10001A", None, -9, 0.0, None, "Germany"),
        ("6", "10001A", "RED CUP", 1, 0.0, 7, "Germany"),
        ("6", "POST", "POSTAGE", 1, 18.0, 7, "Germany"),
        ("7", "10002", "BLUE CUP", 1, 2.0, 9, "EIRE"),
        ("8", "10002", "BLUE CUP", 1, 2.0, 9, "Unspecified"),
    ],
    schema=COLUMNS,
    orient="row",
).with_columns(InvoiceDate=datetime(2011, 1, 1, 9))


@pytest.fixture(scope="module")
def real(public_data):
    return read(OnlineRetailMarket(directory=str(public_data("online_retail"))))


def german() -> pl.DataFrame:
    return online_retail.from_lines(LINES, 1).merchants["retail-germany"].orders


def test_the_largest_countries_become_merchants():
    assert list(online_retail.from_lines(LINES, 2).merchants) == ["retail-germany", "retail-eire"]
    assert list(online_retail.from_lines(LINES, 1).merchants) == ["retail-germany"]


def test_tables_are_canonical():
    assert set(german().columns) <= set(TABLES["orders"])
    assert german().row(0, named=True) == {
        "order_id": "1",
        "order_ts": datetime(2011, 1, 1, 9),
        "item_id": "10001A",
        "quantity": 2,
        "unit_price": 1.5,
        "customer_id": "7",
        "status": "paid",
        "currency": "GBP",
        "country": "DE",
    }


def test_a_cancellation_stays_as_a_cancelled_line():
    assert german().filter(order_id="C4").select("status", "quantity").rows() == [("cancelled", 2)]


def test_lines_that_sell_nothing_are_left_out_and_counted():
    market = online_retail.from_lines(LINES, 1)
    assert german()["order_id"].to_list() == ["1", "2", "3", "C4"]
    assert market.dropped == {
        "correction of the stock": 1,
        "without a price": 1,
        "not an item": 1,
        "of other countries": 2,
    }


def test_a_title_is_the_most_common_description():
    items = online_retail.from_lines(LINES, 1).merchants["retail-germany"].items
    assert items.rows() == [("10001A", 1.5, "RED CUP")]


def test_without_the_file_it_says_where_to_download_it(tmp_path):
    with pytest.raises(DataError, match="UCI data set 352"):
        read(OnlineRetailMarket(directory="."), tmp_path)


def test_the_real_file_has_eight_storefronts_the_british_one_by_far_the_largest(real):
    assert next(iter(real.merchants)) == "retail-united-kingdom"
    assert [tables.tier for tables in real.merchants.values()] == ["large", *["small"] * 7]


def test_every_line_of_the_real_file_is_held_or_counted(real):
    held = sum(len(tables.orders) for tables in real.merchants.values())
    assert held + sum(real.dropped.values()) == 541_909  # the count that UCI gives


def test_real_lines_have_positive_quantities_and_prices(real):
    lines = pl.concat(tables.orders for tables in real.merchants.values())
    assert lines.select(pl.col("quantity", "unit_price").min() > 0).row(0) == (True, True)
