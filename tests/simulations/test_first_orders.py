"""A merchant with few orders: its first ones train, everything else stays."""

from pathlib import Path

import numpy as np
import pytest

from client.data.dataset import Dataset
from simulations.first_orders import orders_of, with_first_orders
from tests.client import shops
from tests.integration import experiments


@pytest.fixture
def table(tmp_path: Path) -> Dataset:
    """Sixty rows, one a day: forty train, ten validate, ten test."""
    return shops.merchant(tmp_path).dataset


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A shop with purchases, arrivals and windows of items."""
    site = experiments.site(tmp_path_factory.mktemp("shop"), merchants=1)
    return site.merchant(next(iter(site.merchants)), 0).dataset


def train(dataset: Dataset, kind: str | None = None) -> list[int]:
    return dataset.rows("train", kind=kind).tolist()


def test_the_first_orders_are_the_earliest_rows(table: Dataset) -> None:
    few = with_first_orders(table, 3, ["bought"])
    assert orders_of(table) == 40
    assert train(few) == [0, 1, 2]


def test_validation_and_test_rows_stay(table: Dataset) -> None:
    few = with_first_orders(table, 3, ["bought"])
    assert few.rows("test").tolist() == table.rows("test").tolist()
    assert few.rows("validation", task="bought").tolist() == table.rows("validation", task="bought").tolist()


def test_the_data_set_itself_keeps_all_its_rows(table: Dataset) -> None:
    with_first_orders(table, 0, ["bought"])
    assert len(train(table)) == 40
    assert set(table.tasks) == {"bought", "amount"}


def test_only_the_tasks_that_are_wanted_are_there(table: Dataset) -> None:
    assert set(with_first_orders(table, 3, ["amount"]).tasks) == {"amount"}


@pytest.mark.parametrize(("count", "left"), [(0, 0), (40, 40), (1000, 40), (None, 40)])
def test_none_and_all_are_what_they_say(table: Dataset, count: int | None, left: int) -> None:
    assert len(train(with_first_orders(table, count, ["bought"]))) == left


def test_of_every_kind_that_a_shopper_owns_so_many_rows_train(shop: Dataset) -> None:
    few = with_first_orders(shop, 10, shop.tasks)
    assert [len(train(few, kind)) for kind in ("purchase", "delivery")] == [10, 10]


def test_windows_of_items_train_that_began_by_the_last_of_these_orders(shop: Dataset) -> None:
    few = with_first_orders(shop, 10, shop.tasks)
    last = max(shop.time[train(few, "purchase")])
    windows = np.array(train(shop, "item_window"))
    assert train(few, "item_window") == windows[shop.time[windows] <= last].tolist()
    assert 0 < len(train(few, "item_window")) < len(windows)
