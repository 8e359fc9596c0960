"""Merchants of every market go through the client's own door, like anybody's files."""

from pathlib import Path

import pytest

from client.config import load_merchant
from client.data.dataset import Dataset, prepare
from shared_model.schema import Federation, parse_federation
from simulations import partition
from simulations.datasets import OlistMarket, OnlineRetailMarket, OnlineShoppersMarket, SyntheticMarket, read
from simulations.datasets.online_shoppers import FEATURES
from simulations.market import TIERS, Market

BASE = {
    "federation": {"name": "test", "rounds": 1},
    "bottom": {"architecture": "wide"},
    "tiers": {name: {"shoppers": least, "weight": 1.0} for name, least in TIERS.items()},
}
LIBRARY = {
    "will_rebuy": "binary",
    "delivery_days": "regression",
    "late": "binary",
    "bad_review": "binary",
    "returned": "binary",
    "order_value": "regression",
    "next_item": "retrieval",
    "units": "count",
    "session_purchase": "binary",
    "ad_click": "binary",
}
SHOP = parse_federation(
    BASE
    | {
        "features": {
            "category": {"kind": "categorical", "buckets": 64, "width": 4},
            "price": {"kind": "numeric", "transform": "log1p", "center": 3.5},
            "distance_km": {"kind": "numeric", "transform": "log1p", "center": 5.4, "scale": 1.2},
            "title": {"kind": "text", "buckets": 256, "width": 4},
            "history": {"kind": "sequence", "of": ["category"]},
        },
        "tasks": {name: {"kind": kind, "library": name} for name, kind in LIBRARY.items()},
    }
)
SESSIONS = parse_federation(
    BASE
    | {
        "features": {
            name: {"kind": "categorical", "buckets": 32, "width": 2} if name in {"month", "visitor_type"}
            else {"kind": "numeric", "transform": "log1p"}
            for name in FEATURES
        },
        "tasks": {"purchase": {"kind": "binary"}},
    }
)  # fmt: skip


def prepared(market: Market, merchant: str, contract: Federation, folder: Path) -> Dataset:
    only = Market(
        name=market.name,
        merchants={merchant: market.merchants[merchant]},
        validation_from=market.validation_from,
        test_from=market.test_from,
    )
    (path,) = partition.write(only, folder)
    return prepare(load_merchant(path, contract), contract)


def labelled(dataset: Dataset, task: str) -> dict[str, int]:
    return {split: len(dataset.rows(split, task=task)) for split in ("train", "validation", "test")}


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory) -> Dataset:
    market = read(SyntheticMarket(merchants=1))
    return prepared(market, "synthetic-01", SHOP, tmp_path_factory.mktemp("synthetic"))


def test_a_synthetic_shop_supports_every_library_task(synthetic):
    assert set(synthetic.tasks) == set(LIBRARY)


@pytest.mark.parametrize("task", LIBRARY)
def test_a_synthetic_shop_has_labels_in_every_split(synthetic, task):
    assert min(labelled(synthetic, task).values()) > 0


def test_a_shop_without_deliveries_and_events_has_the_other_tasks(tmp_path):
    market = read(SyntheticMarket(merchants=1, without_deliveries=1.0, without_events=1.0))
    dataset = prepared(market, "synthetic-01", SHOP, tmp_path)
    assert {"will_rebuy", "order_value", "next_item", "units"} <= set(dataset.tasks)
    assert not {"delivery_days", "late", "bad_review", "session_purchase", "ad_click"} & set(dataset.tasks)


def test_an_olist_seller_supports_the_tasks_of_the_study(public_data, tmp_path):
    market = read(OlistMarket(directory=str(public_data("olist"))))
    dataset = prepared(market, "olist-0881", SHOP, tmp_path)
    assert {"bad_review", "delivery_days", "late", "units", "next_item"} <= set(dataset.tasks)
    assert min(labelled(dataset, "delivery_days").values()) > 0


def test_a_storefront_supports_repeat_purchases_but_no_deliveries(public_data, tmp_path):
    market = read(OnlineRetailMarket(directory=str(public_data("online_retail"))))
    dataset = prepared(market, "retail-germany", SHOP, tmp_path)
    assert {"will_rebuy", "order_value", "next_item", "units"} <= set(dataset.tasks)
    assert "delivery_days" not in dataset.tasks


def test_sessions_go_in_as_a_ready_table(public_data, tmp_path):
    market = read(OnlineShoppersMarket(directory=str(public_data("online_shoppers"))))
    dataset = prepared(market, "traffictype-13", SESSIONS, tmp_path)
    assert len(dataset) == 738
    assert min(labelled(dataset, "purchase").values()) > 0
