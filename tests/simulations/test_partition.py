import tomllib
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from shared_model import files
from simulations import partition
from simulations.market import Market, MerchantTables


def shop(name: str) -> MerchantTables:
    orders = pl.DataFrame({"order_id": [f"{name}-1", f"{name}-2"], "item_id": [f"{name}-x", f"{name}-x"]})
    return MerchantTables(orders=orders, items=pl.DataFrame({"item_id": [f"{name}-x"]}), tier="small")


def market(**changes: MerchantTables) -> Market:
    merchants = {"north": shop("north"), "south": shop("south")} | changes
    return Market(
        name="two", merchants=merchants, validation_from=date(2018, 4, 1), test_from=date(2018, 5, 1)
    )


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_it_returns_the_merchant_files_in_the_order_of_the_market(tmp_path):
    assert partition.write(market(), tmp_path) == [
        tmp_path / "north" / "merchant.toml",
        tmp_path / "south" / "merchant.toml",
    ]


def test_a_merchants_domain_is_what_the_market_says_and_otherwise_its_tier(tmp_path):
    toys = MerchantTables(orders=shop("toys").orders, tier="small", domain="toys")
    files_of = partition.write(market(toys=toys), tmp_path)
    said = {path.parent.name: tomllib.loads(path.read_text())["merchant"]["domain"] for path in files_of}
    assert said == {"north": "small", "south": "small", "toys": "toys"}


def test_every_row_arrives_at_its_own_merchant_and_nowhere_else(tmp_path):
    written = market()
    partition.write(written, tmp_path)
    assert_frame_equal(pl.read_parquet(tmp_path / "north/orders.parquet"), written.merchants["north"].orders)
    assert_frame_equal(pl.read_parquet(tmp_path / "south/orders.parquet"), written.merchants["south"].orders)
    assert not any(b"south" in content for content, _ in contents(tmp_path / "north").values())


def test_a_merchant_file_says_what_an_ordinary_merchant_would_write(tmp_path):
    path = partition.write(market(north=MerchantTables(orders=shop("a").orders, tasks=("late",))), tmp_path)[
        0
    ]
    assert tomllib.loads(path.read_text()) == {
        "schema": "shop-v1",
        "merchant": {"name": "north", "state": "state", "timezone": "UTC"},
        "orders": {"source": "orders.parquet", "preset": "canonical"},
        "split": {"validation_from": date(2018, 4, 1), "test_from": date(2018, 5, 1)},
        "task": [{"name": "late"}],
    }


def test_a_ready_table_says_which_column_is_its_time_and_which_its_unit(tmp_path):
    rows = pl.DataFrame({"when": [date(2018, 1, 1)], "who": ["a"], "y": [1]})
    ready = MerchantTables(table=rows, labels={"late": "y"}, time="when", unit="who")
    path = partition.write(market(north=ready), tmp_path)[0]
    declared = tomllib.loads(path.read_text())["table"]
    assert (declared["time"], declared["unit"]) == ("when", "who")


def test_a_ready_table_is_declared_with_its_columns_and_labels(tmp_path):
    ready = MerchantTables(
        table=pl.DataFrame({"P": [1.0], "y": [0]}), columns={"price": "P"}, labels={"buy": "y"}
    )
    path = partition.write(Market(name="ready", merchants={"shop": ready}), tmp_path)[0]
    assert tomllib.loads(path.read_text()) == {
        "schema": "shop-v1",
        "merchant": {"name": "shop", "state": "state", "timezone": "UTC"},
        "table": {"source": "table.parquet", "columns": {"price": "P"}, "labels": {"buy": "y"}},
    }


def test_writing_the_same_market_again_touches_nothing(tmp_path):
    partition.write(market(), tmp_path)
    before = contents(tmp_path)
    partition.write(market(), tmp_path)
    assert contents(tmp_path) == before


def test_only_the_changed_table_is_rewritten(tmp_path):
    partition.write(market(), tmp_path)
    before = contents(tmp_path)
    changed = MerchantTables(orders=shop("new").orders, items=shop("north").items, tier="small")
    partition.write(market(north=changed), tmp_path)
    after = contents(tmp_path)
    rewritten = {name for name in before if before[name] != after[name]}
    assert rewritten == {"north/orders.parquet", "north/merchant.toml"}


def test_a_table_that_the_merchant_no_longer_has_goes_away(tmp_path):
    partition.write(market(), tmp_path)
    partition.write(market(north=MerchantTables(orders=shop("north").orders)), tmp_path)
    assert not (tmp_path / "north/items.parquet").exists()


def test_a_killed_write_leaves_no_merchant_file_and_is_finished_by_the_next(tmp_path, monkeypatch):
    partition.write(market(), tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(files, "write", write_until("orders.parquet"))
        with pytest.raises(OSError, match="No space left"):
            partition.write(market(), tmp_path / "killed")
    assert not list((tmp_path / "killed").rglob("merchant.toml"))
    partition.write(market(), tmp_path / "killed")
    assert names_and_bytes(tmp_path / "killed") == names_and_bytes(tmp_path / "whole")


def test_an_update_that_fails_leaves_no_merchant_file_beside_mixed_tables(tmp_path, monkeypatch):
    partition.write(market(), tmp_path)
    monkeypatch.setattr(files, "write", write_until("orders.parquet"))
    with pytest.raises(OSError, match="No space left"):
        partition.write(market(north=shop("new")), tmp_path)
    assert not (tmp_path / "north/merchant.toml").exists()


def test_state_of_a_merchant_that_has_already_trained_is_left_alone(tmp_path):
    partition.write(market(), tmp_path)
    kept = tmp_path / "north/state/ledger"
    kept.parent.mkdir()
    kept.write_text("spent")
    partition.write(market(north=shop("new")), tmp_path)
    assert kept.read_text() == "spent"


def write_until(name: str):
    """Stands in for a disk that is full when `name` is written."""
    real = files.write

    def write(path: Path, content: bytes, *, durable: bool = True) -> None:
        if path.name == name:
            raise OSError(28, "No space left on device")
        real(path, content, durable=durable)

    return write


def names_and_bytes(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in contents(folder).items()}
