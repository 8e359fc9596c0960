from datetime import datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shared_model import declared
from shared_model.errors import ConfigError, DataError
from simulations.datasets import OlistMarket, olist, read

BOUGHT = datetime(2018, 1, 1)


@pytest.fixture(scope="module")
def lines(public_data) -> pl.DataFrame:
    return olist.read_lines(public_data("olist"))


@pytest.fixture(scope="module")
def study(public_data):
    return read(OlistMarket(directory=str(public_data("olist"))))


def line(**columns: object) -> dict[str, object]:
    return dict.fromkeys(olist.COLUMNS) | {"purchase_ts": BOUGHT, "order_status": "delivered"} | columns


def table(*rows: dict[str, object]) -> pl.DataFrame:
    texts = {"order_status", "category", "payment_type", "customer_state", "merchant_state"}
    return pl.DataFrame(
        rows,
        schema_overrides={"purchase_ts": pl.Datetime("us"), "review_score": pl.Float32}
        | dict.fromkeys(texts, pl.String),
    )


TWO_SELLERS = table(
    line(merchant_id=1, order_id=10, product_id=5, price=2.0, category="toys"),
    line(merchant_id=2, order_id=10, product_id=6, price=3.0, category="books"),
    line(
        merchant_id=1, order_id=11, product_id=5, price=2.5, category="toys", purchase_ts=datetime(2018, 2, 1)
    ),
    line(merchant_id=1, order_id=12, product_id=7, price=9.0, purchase_ts=datetime(2018, 9, 1)),
)


def test_a_seller_gets_its_own_lines_of_a_shared_order():
    market = olist.from_lines(TWO_SELLERS, {1: "large"}, listed="sellers.toml")
    assert market.merchants["olist-0001"].orders["order_id"].to_list() == [10, 11]
    assert market.dropped == {"outside the window": 1, "of other sellers": 1}


def test_items_are_as_last_sold():
    items = olist.from_lines(TWO_SELLERS, {1: "large"}, listed="sellers.toml").merchants["olist-0001"].items
    assert items.select("product_id", "price", "category").rows() == [(5, 2.5, "toys")]


def test_a_seller_that_the_data_do_not_hold_is_refused():
    with pytest.raises(ConfigError, match="large is 3; allowed: ids of sellers"):
        olist.from_lines(TWO_SELLERS, {3: "large"}, listed="sellers.toml")


def test_without_the_file_it_says_where_to_download_it(tmp_path):
    with pytest.raises(DataError, match="olistbr/brazilian-ecommerce"):
        read(OlistMarket(directory="."), tmp_path)


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    (tmp_path / olist.FILE).write_text("order_id,price")
    with pytest.raises(DataError, match=r"olist_lines\.parquet cannot be read"):
        read(OlistMarket(directory="."), tmp_path)


def test_a_missing_column_is_named(tmp_path):
    TWO_SELLERS.drop("freight").write_parquet(tmp_path / olist.FILE)
    with pytest.raises(DataError, match="lacks the columns freight"):
        read(OlistMarket(directory="."), tmp_path)


def test_own_lists_of_sellers_are_read_relative_to_the_scenario(tmp_path):
    TWO_SELLERS.write_parquet(tmp_path / olist.FILE)
    (tmp_path / "mine.toml").write_text("small = [2]")
    market = read(OlistMarket(directory=".", sellers="mine.toml"), tmp_path)
    assert list(market.merchants) == ["olist-0002"]


def test_a_wrong_list_of_sellers_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_text("tiny = [2]")
    with pytest.raises(ConfigError, match="tiny"):
        read(OlistMarket(directory=".", sellers="mine.toml"), tmp_path)


def test_the_study_has_40_sellers_of_three_sizes(study):
    groups = [tables.group for tables in study.merchants.values()]
    assert [groups.count(group) for group in ("large", "medium", "small")] == [12, 12, 16]
    assert [tables.tier for tables in study.merchants.values()] == groups


def test_only_the_wanted_groups_are_read(public_data):
    market = read(OlistMarket(directory=str(public_data("olist")), groups=("small",)))
    assert {tables.group for tables in market.merchants.values()} == {"small"}


def test_the_listed_sellers_are_eligible(lines):
    eligible = olist.eligible_sellers(lines)
    listed = declared.load(olist.Sellers, olist.STUDY)
    assert {group: len(sellers) for group, sellers in eligible.items()} == {
        "large": 15,
        "medium": 29,
        "small": 32,
    }
    assert set(listed.large) <= eligible["large"]
    assert set(listed.medium) <= eligible["medium"]
    assert set(listed.small) <= eligible["small"]


def test_merchants_hold_the_sellers_lines_and_no_others(study, lines):
    held = pl.concat(tables.orders for tables in study.merchants.values())
    sellers = [int(name.removeprefix("olist-")) for name in study.merchants]
    first, end = olist.WINDOW
    wanted = lines.filter(
        pl.col("merchant_id").is_in(sellers), pl.col("purchase_ts").is_between(first, end, closed="left")
    )
    key = ["merchant_id", "order_id", "order_item_id"]
    assert_frame_equal(held.sort(key), wanted.select(held.columns).sort(key))
    assert all(tables.orders["merchant_id"].n_unique() == 1 for tables in study.merchants.values())
    assert len(held) + sum(study.dropped.values()) == len(lines)


def test_sellers_have_the_shoppers_that_their_tier_asks_for(study):
    least = {"large": 400, "medium": 100, "small": 0}
    assert all(
        tables.orders.filter(pl.col("purchase_ts") < datetime(2018, 4, 1))["customer_id"].n_unique()
        >= least[tables.tier]
        for tables in study.merchants.values()
    )
