"""Merchants in memory hold the rows that the client reads from the files of the same scenario."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import simulations
from client.data.dataset import Dataset
from client.data.examples import Examples
from client.data.private_rows import PrivateRows, private_rows
from client.data.split import PARTS
from shared_model import schema
from shared_model.errors import ConfigError
from shared_model.features import Batch
from shared_model.schema import Federation
from simulations import partition
from simulations.federated import Site
from simulations.scenarios import PrivateShopRows, ScenarioMarket, ShopRows, Shops, generate
from simulations.scenarios.options import Fixed, Listed
from tests.simulations.scenarios.conftest import CONTRACT, PRIVACY

EXPERIMENTS = Path(simulations.__file__).parent / "experiments"
EVERY_KNOB = ScenarioMarket(
    merchants=2,
    seed=3,
    size=Listed(kind="listed", rows=(90, 140)),
    relatedness=0.5,
    drift=0.5,
    strangers=0.3,
    task_share=0.7,
    vocabulary_overlap=0.5,
    shared_shoppers=0.5,
    season=0.5,
)
SECOND = "synthetic-shop-02"


def site_of(contract_file: Path, folder: Path) -> Site:
    market = generate(EVERY_KNOB, schema.load_federation(contract_file))
    written = partition.write(market, folder)
    return Site(contract=contract_file, merchants=dict(zip(market.merchants, written, strict=True)))


@pytest.fixture
def pair(contract_file: Path, tmp_path: Path) -> tuple[Dataset, ShopRows]:
    site = site_of(contract_file, tmp_path / "merchants")
    return site.merchant(SECOND, 0).dataset, Shops(EVERY_KNOB, schema.load_federation(contract_file))[SECOND]


def tensors(batch: Batch) -> dict[str, Tensor]:
    named = {"ids": batch.ids, "vectors": batch.vectors, "labels": batch.labels}
    flat = {f"{of}.{name}": t for of, every in named.items() for name, t in every.items()}
    return {"numeric": batch.numeric, **flat}


def test_rows_in_memory_are_those_that_the_client_reads_from_files(pair: tuple[Dataset, ShopRows]) -> None:
    read, held = (tensors(rows.batch(torch.arange(140))) for rows in pair)
    assert len(pair[0]) == len(pair[1]) == 140
    torch.testing.assert_close(held, read, atol=1e-6, rtol=0)


def splits(rows: Examples) -> list[list[int]]:
    return [rows.rows(part).tolist() for part in PARTS]


def test_the_split_in_memory_is_that_of_the_files(pair: tuple[Dataset, ShopRows]) -> None:
    read, held = (splits(rows) for rows in pair)
    assert held == read


def test_tasks_in_memory_are_those_of_the_files(pair: tuple[Dataset, ShopRows]) -> None:
    assert set(pair[0].tasks) == set(pair[1].tasks)
    assert len(pair[1].tasks) < 5


def test_shoppers_in_memory_own_the_rows_that_they_own_in_files(pair: tuple[Dataset, ShopRows]) -> None:
    read, held = (rows.unit[:, None] == rows.unit for rows in pair)
    assert np.array_equal(held, read)


@pytest.fixture
def private_pair(tmp_path: Path) -> tuple[PrivateRows, PrivateShopRows]:
    file = tmp_path / "private.toml"
    file.write_text(CONTRACT + PRIVACY)
    site = site_of(file, tmp_path / "private")
    config = site.merchant(SECOND, 0).config
    contract = schema.load_federation(file)
    return private_rows(config, contract, None), Shops(EVERY_KNOB, contract).private(SECOND)


def rows_by_unit(rows: PrivateRows | PrivateShopRows) -> list[list[float]]:
    numeric = rows.batch(torch.arange(len(rows))).numeric
    return sorted(
        numeric[rows.rows_of_units(torch.tensor([u]))].flatten().tolist() for u in range(rows.units)
    )


def test_the_private_view_in_memory_is_that_of_the_files(
    private_pair: tuple[PrivateRows, PrivateShopRows],
) -> None:
    read, held = private_pair
    assert rows_by_unit(held) == rows_by_unit(read)
    assert set(held.tasks) == set(read.tasks)
    assert int(torch.bincount(held.unit).max()) == 2  # max_records


def test_a_merchant_is_the_same_however_many_there_are(contract: Federation) -> None:
    few, many = (Shops(ScenarioMarket(merchants=n), contract)[SECOND] for n in (2, 50))
    torch.testing.assert_close(tensors(few.stored), tensors(many.stored), atol=0, rtol=0)


def test_a_merchant_is_drawn_when_it_is_asked_for_and_kept(contract: Federation) -> None:
    shops = Shops(ScenarioMarket(merchants=10_000), contract)
    assert len(shops) == 10_000
    assert shops["synthetic-shop-10000"] is shops.shop("synthetic-shop-10000")


def test_ten_thousand_merchants_of_200_rows_fit_into_300_megabytes() -> None:
    contract = schema.load_federation(EXPERIMENTS / "credit.federation.toml")
    shop = Shops(ScenarioMarket(size=Fixed(kind="fixed", rows=200)), contract)["synthetic-shop-01"]
    assert len(pickle.dumps(shop)) < 30_000


def test_a_choice_of_items_cannot_be_held_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "items.toml"
    file.write_text(CONTRACT + '[tasks.next]\nkind = "retrieval"\n')
    with pytest.raises(ConfigError, match=r"tasks.next.kind is 'retrieval'"):
        Shops(ScenarioMarket(), schema.load_federation(file))
