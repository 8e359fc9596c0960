"""The merchant's file is read once, and what does not fit the contract is refused by name."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.config import load_merchant
from client.merchant_file import masked
from shared_model.errors import ConfigError
from tests.client.exports import CATEGORY, NUMERIC, contract, write_merchant

FEDERATION = contract(
    features={"price": NUMERIC, "days": {"kind": "numeric", "column": "lag"}, "category": CATEGORY},
    tasks={"late": {"kind": "binary", "library": "late"}, "bought": {"kind": "binary"}},
    tiers={"big": {"shoppers": 500, "weight": 4.0}, "small": {"shoppers": 0, "weight": 1.0}},
)
ORDERS = {"source": "orders.csv"}
TABLE = {"source": "examples.parquet", "labels": {"bought": "y"}}


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., ConfigError]:
    def refusal(**tables: Any) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load_merchant(write_merchant(tmp_path, **tables), FEDERATION)
        return caught.value

    return refusal


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_merchant(write_merchant(tmp_path / "shop", orders={"source": "exports/*.csv"}), FEDERATION)
    assert config.orders is not None
    assert config.orders.source == str(tmp_path / "shop" / "exports" / "*.csv")
    assert config.state == tmp_path / "shop" / "state"


def test_no_tier_means_the_lowest(tmp_path: Path) -> None:
    assert load_merchant(write_merchant(tmp_path, orders=ORDERS), FEDERATION).tier == "small"


def test_no_task_means_every_common_task(tmp_path: Path) -> None:
    config = load_merchant(write_merchant(tmp_path, orders=ORDERS), FEDERATION)
    assert list(config.tasks) == ["late", "bought"]
    assert config.own_tasks == frozenset()


def test_a_common_task_keeps_its_declaration_but_for_the_weight(tmp_path: Path) -> None:
    config = load_merchant(
        write_merchant(tmp_path, orders=ORDERS, task=[{"name": "late", "weight": 2.5}]), FEDERATION
    )
    assert config.tasks["late"].weight == 2.5
    assert config.tasks["late"].library == "late"


def test_an_own_task_has_a_local_head(tmp_path: Path) -> None:
    own = {"name": "mine", "kind": "regression", "library": "order_value", "transform": "log1p"}
    config = load_merchant(write_merchant(tmp_path, orders=ORDERS, task=[own]), FEDERATION)
    assert config.tasks["mine"].head == "local"
    assert config.own_tasks == {"mine"}


@pytest.mark.parametrize(
    ("tables", "key", "allowed"),
    [
        ({"orders": ORDERS, "merchant": {"name": "acme", "tier": "huge"}}, "merchant.tier", "big, small"),
        ({"orders": ORDERS, "merchant": {"name": "a", "timezone": "Mars/Base"}}, "merchant.timezone", "IANA"),
        ({"orders": ORDERS, "merchant": {"name": "Acme Ltd"}}, "merchant.name", "pattern"),
        ({}, "orders", r"\[table\]"),
        ({"orders": ORDERS, "table": TABLE}, "table", "not both"),
        ({"orders": {"source": "orders.xls"}}, "orders.source", ".csv"),
        ({"orders": {"source": "sqlite:///shop.db"}}, "orders.query", "SQL"),
        ({"orders": ORDERS | {"query": "select 1"}}, "orders.query", "nothing"),
        ({"orders": ORDERS | {"preset": "shopware"}}, "orders.preset", "canonical, olist"),
        ({"orders": ORDERS | {"rename": {"cost": "Preis"}}}, "orders.rename.cost", "unit_price"),
        ({"orders": ORDERS, "split": {"validation_from": "2024-01-01"}}, "split.test_from", "both dates"),
        (
            {"orders": ORDERS, "split": {"validation_from": "2024-02-01", "test_from": "2024-01-01"}},
            "split.test_from",
            "after validation_from",
        ),
        ({"orders": ORDERS, "task": [{"name": "lat"}]}, "task.lat.kind", "late, bought"),
        ({"orders": ORDERS, "task": [{"name": "late"}, {"name": "late"}]}, "task.1.name", "at most once"),
        ({"orders": ORDERS, "task": [{"name": "late", "initial": 0.1}]}, "task.late.initial", "weight"),
        ({"orders": ORDERS, "task": [{"name": "own", "kind": "binary"}]}, "task.own.library", "library"),
        (
            {"orders": ORDERS, "task": [{"name": "own", "kind": "binary", "head": "residual"}]},
            "task.own.head",
            "local",
        ),
        (
            {"orders": ORDERS, "task": [{"name": "own", "kind": "binary", "library": "units"}]},
            "task.own.kind",
            "regression",
        ),
        ({"orders": ORDERS, "task": [{"name": "late", "task_size": 2}]}, "task.late.task_size", "weight"),
        ({"orders": ORDERS, "privacy": {"max_epsilon": 1.0}}, "privacy.max_epsilon", "without differential"),
        ({"table": TABLE, "task": [{"name": "late"}]}, "table.labels.late", "column"),
        ({"table": TABLE | {"labels": {"sold": "y"}}}, "table.labels.sold", "late, bought"),
        ({"table": TABLE | {"columns": {"cost": "x"}}}, "table.columns.cost", "days, price"),
        ({"table": TABLE | {"columns": {"price": "x", "days": "x"}}}, "table.columns.price", "to days"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_key_and_says_what_is_allowed(
    refused: Callable[..., ConfigError], tables: dict[str, Any], key: str, allowed: str
) -> None:
    error = refused(**tables)
    assert error.key == key
    assert re.search(allowed, error.allowed)


@pytest.mark.parametrize(
    "leak",
    [
        {"columns": {"price": "y"}},
        {"labels": {"bought": "price"}},
        {"labels": {"bought": "lag"}},  # the contract's column of the feature `days`
    ],
)
def test_a_label_that_a_feature_would_read_is_refused(refused: Callable[..., ConfigError], leak: Any) -> None:
    assert "would read the label" in refused(table=TABLE | leak).allowed


def test_a_label_is_no_leak_where_the_feature_reads_another_column(tmp_path: Path) -> None:
    table = TABLE | {"labels": {"bought": "price"}, "columns": {"price": "list_price"}}
    assert load_merchant(write_merchant(tmp_path, table=table), FEDERATION).table is not None


@pytest.mark.parametrize(
    "orders",
    [
        {"url": "postgresql://shop:hunter2@db/shop"},
        {"source": ["postgresql://shop:hunter2@db/shop"]},
        {"source": "postgresql://shop:hunter2@db/shop"},
        {"source": "postgresql://shop:hunter2@db/shop", "query": 7},
        {"source": "postgresql://shop:hun@ter2@db/shop"},
    ],
)
def test_a_password_never_appears_in_an_error(refused: Callable[..., ConfigError], orders: Any) -> None:
    error = refused(orders=orders)
    assert "ter2" not in str(error)
    assert "ter2" not in repr(error)


def test_a_configuration_does_not_show_its_sources(tmp_path: Path) -> None:
    orders = {"source": "postgresql://shop:hunter2@db/shop", "query": "select 1"}
    assert "hunter2" not in repr(load_merchant(write_merchant(tmp_path, orders=orders), FEDERATION))


def test_a_password_given_as_a_parameter_is_masked() -> None:
    assert (
        masked("mysql://db/shop?user=a&password=hunter2&ssl=1") == "mysql://db/shop?user=a&password=***&ssl=1"
    )


PRIVATE = {
    "federation": {"name": "test", "rounds": 1, "full_batch": True},
    "privacy": {"epsilon": 8.0, "delta": 1e-6},
}


def test_a_cap_below_the_contracts_epsilon_is_kept_and_stops_the_training_later(tmp_path: Path) -> None:
    path = write_merchant(tmp_path, orders=ORDERS, privacy={"max_epsilon": 4.0})
    assert load_merchant(path, contract(**PRIVATE)).privacy.max_epsilon == 4.0


def test_the_ledger_lies_beside_the_file_and_not_in_the_state(tmp_path: Path) -> None:
    config = load_merchant(write_merchant(tmp_path, orders=ORDERS), contract(**PRIVATE))
    assert config.ledger == config.file.parent / "ledger"
    assert config.state not in config.ledger.parents


SMALL = {"small": {"shoppers": 0, "weight": 1.0, "role": "receive"}}


def test_a_merchant_has_the_role_of_its_tier(tmp_path: Path) -> None:
    path = write_merchant(tmp_path, orders=ORDERS)
    assert load_merchant(path, contract(**PRIVATE)).role == "train"
    assert load_merchant(path, contract(**PRIVATE, tiers=SMALL)).role == "receive"


def test_a_merchant_may_only_receive_where_its_tier_trains(tmp_path: Path) -> None:
    path = write_merchant(tmp_path, orders=ORDERS, merchant={"name": "acme", "role": "receive"})
    assert load_merchant(path, contract(**PRIVATE)).role == "receive"


def test_a_merchant_may_not_train_where_its_tier_only_receives(tmp_path: Path) -> None:
    path = write_merchant(tmp_path, orders=ORDERS, merchant={"name": "acme", "role": "train"})
    with pytest.raises(ConfigError, match=r"merchant\.role is 'train'; allowed: receive"):
        load_merchant(path, contract(**PRIVATE, tiers=SMALL))
