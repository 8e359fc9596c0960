"""A table of one's own, split into merchants."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from shared_model import declared
from shared_model.errors import ConfigError, DataError
from simulations.cli import app
from simulations.datasets import TableMarket, read
from simulations.federated import Site
from simulations.partition import write

ROWS = 60
FRAME = pl.DataFrame(
    {
        "seller": ["Anna's", "Bo"] * 20 + ["Cy"] * 20,
        "day": [date(2024, 1, 1) + timedelta(days=row) for row in range(ROWS)],
        "customer": [f"c{row // 3}" for row in range(ROWS)],
        "price": [float(row) for row in range(ROWS)],
        "late": [row % 4 == 0 for row in range(ROWS)],
    }
)
BY_SELLER = {"by": "key", "column": "seller"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    FRAME.write_csv(tmp_path / "orders.csv")
    return tmp_path / "orders.csv"


def options(file: Path, partition: dict[str, Any], **said: Any) -> TableMarket:
    tables = {"kind": "table", "directory": str(file.parent), "file": file.name, "labels": {"late": "late"}}
    return declared.parse(TableMarket, tables | said | {"partition": partition}, file="market.toml")


def sizes(file: Path, partition: dict[str, Any], **said: Any) -> list[int]:
    return [
        len(m.table) for m in read(options(file, partition, **said)).merchants.values() if m.table is not None
    ]


def test_a_key_of_the_data_makes_merchants(file: Path) -> None:
    market = read(options(file, BY_SELLER))
    assert list(market.merchants) == ["anna-s", "bo", "cy"]
    assert sizes(file, BY_SELLER) == [20, 20, 20]


def test_the_largest_of_a_key_can_be_chosen_and_the_rest_is_counted(file: Path) -> None:
    market = read(options(file, BY_SELLER | {"merchants": 2}))
    assert list(market.merchants) == ["anna-s", "bo"]
    assert market.dropped == {"of merchants that are left out": 20}


@pytest.mark.parametrize(
    "partition",
    [
        {"by": "dirichlet", "column": "seller", "merchants": 3, "alpha": 0.5},
        {"by": "quantity", "merchants": 3, "sigma": 1.0},
        {"by": "time", "column": "day", "merchants": 3},
    ],
)
def test_every_row_has_one_merchant(file: Path, partition: dict[str, Any]) -> None:
    assert sum(sizes(file, partition)) == ROWS
    assert 1 <= len(sizes(file, partition)) <= 3


def test_a_shoppers_rows_stay_together(file: Path) -> None:
    market = read(options(file, {"by": "quantity", "merchants": 4}, unit="customer"))
    owners = [set(m.table["customer"]) for m in market.merchants.values() if m.table is not None]
    assert sum(map(len, owners)) == len(set.union(*owners)) == 20


def test_tiers_by_size_are_declared_where_they_are_asked_for(file: Path) -> None:
    found = [read(options(file, BY_SELLER, tiers=t)).merchants["bo"].tier for t in ("lowest", "size")]
    assert found == ["", "small"]


def test_another_seed_is_another_split(file: Path) -> None:
    splits = [
        [
            m.table["price"].to_list()
            for m in read(options(file, partition)).merchants.values()
            if m.table is not None
        ]
        for partition in ({"by": "quantity", "merchants": 2, "seed": seed} for seed in (0, 0, 1))
    ]
    assert splits[0] == splits[1] != splits[2]


def test_orders_are_written_as_orders(file: Path) -> None:
    market = read(options(file, BY_SELLER, holds="orders", labels={}))
    assert all(m.orders is not None and m.table is None for m in market.merchants.values())


def test_the_client_reads_what_was_split(file: Path, tmp_path: Path) -> None:
    contract = tmp_path / "federation.toml"
    contract.write_text(
        '[federation]\nname = "mine"\nrounds = 1\n[bottom]\narchitecture = "wide"\n'
        '[tasks.late]\nkind = "binary"\n[features.price]\nkind = "numeric"\n'
    )
    dated = {"validation_from": "2024-02-01", "test_from": "2024-02-15"}
    market = read(options(file, BY_SELLER, time="day", unit="customer", **dated))
    written = write(market, tmp_path / "merchants")
    dataset = (
        Site(contract=contract, merchants=dict(zip(market.merchants, written, strict=True)))
        .merchant("bo", 0)
        .dataset
    )
    # Bo has rows 1, 3, ..., 39; the first of February is row 31, the 15th row 45
    assert [len(dataset.rows(part)) for part in ("train", "validation", "test")] == [15, 5, 0]  # type: ignore[arg-type]


def test_a_parquet_file_does_as_well(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "orders.parquet")
    assert sizes(tmp_path / "orders.parquet", BY_SELLER) == [20, 20, 20]


@pytest.mark.parametrize(
    ("partition", "said", "message"),
    [
        ({"by": "size"}, {}, r"partition\.by is 'size'.*'key', 'dirichlet', 'quantity' or 'time'"),
        ({"by": "key"}, {}, "by key with column"),
        (
            {"by": "quantity", "merchants": 2, "alpha": 1.0},
            {},
            "without alpha: by quantity reads merchants, s",
        ),
        ({"by": "dirichlet", "column": "late"}, {}, "by dirichlet with merchants"),
        ({"by": "time", "merchants": 2}, {}, "partition.column or time"),
        (BY_SELLER, {"labels": {}}, "at least one task"),
        (BY_SELLER, {"holds": "orders"}, "without columns and labels"),
        (BY_SELLER, {"test_from": "2024-02-01"}, "the first earlier, or neither"),
        (
            {"by": "time", "merchants": 2},
            {"time": "day", "validation_from": "2024-02-01", "test_from": "2024-02-02"},
            "every merchant has a period of its own",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(
    file: Path, partition: dict[str, Any], said: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        options(file, partition, **said)


def test_a_column_that_is_not_there_is_refused_with_those_that_are(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"market.labels.late is 'delayed'.*seller, day, customer"):
        read(options(file, BY_SELLER, labels={"late": "delayed"}))


def test_an_unknown_export_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"market.preset is 'amazon'; allowed: one of canonical, olist"):
        read(options(file, BY_SELLER, holds="orders", labels={}, preset="amazon"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.csv is not there"):
        read(options(tmp_path / "gone.csv", BY_SELLER))


def test_the_command_writes_merchants_folders(file: Path, tmp_path: Path) -> None:
    arguments = [
        "split",
        str(file),
        "--out",
        str(tmp_path / "shops"),
        "--column",
        "seller",
        "--label",
        "late",
    ]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0
    assert sorted(p.name for p in (tmp_path / "shops").iterdir()) == ["anna-s", "bo", "cy"]
