"""The loader on generated files of the public layout: 16 categories, 63 numbers, click and conversion."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from client.config import load_merchant
from client.data.dataset import Dataset, prepare
from client.evaluation import logits_of
from shared_model.errors import DataError
from shared_model.model import build
from shared_model.schema import load_federation
from simulations import partition
from simulations.datasets import AliExpressMarket, read
from simulations.datasets.aliexpress import CATEGORIES, FEATURES, NUMBERS
from simulations.experiment import EXPERIMENTS, load_experiment

SEARCHES, SHOWN = 40, 5


def write(folder: Path, country: str, *, first: int = 0) -> Path:
    """Write `train.csv` and `test.csv` of one country as the public preprocessing does; return `folder`."""
    target = folder / f"AliExpress_{country}"
    target.mkdir(parents=True)
    draw, rows = np.random.default_rng(first), SEARCHES * SHOWN
    for number, name in enumerate(("train", "test")):
        start = first + number * SEARCHES
        click = draw.random(rows) < 0.2
        pl.DataFrame(
            {
                "search_id": np.repeat(np.arange(start, start + SEARCHES), SHOWN),
                **{column: draw.integers(0, 50, rows) for column in CATEGORIES},
                **{column: draw.normal(size=rows).round(4) for column in NUMBERS},
                "click": click.astype(int),
                "conversion": (click & (draw.random(rows) < 0.3)).astype(int),
            }
        ).write_csv(target / f"{name}.csv")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write(tmp_path_factory.mktemp("aliexpress"), "NL")
    return write(folder, "ES", first=1000)


def options(files: Path, **changes: object) -> AliExpressMarket:
    return AliExpressMarket(directory=str(files), countries=("NL", "ES"), **changes)  # type: ignore[arg-type]


def test_every_country_is_a_merchant(files: Path) -> None:
    market = read(options(files), Path())
    assert {name: len(tables.table) for name, tables in market.merchants.items()} == {
        "aliexpress-es": 2 * SEARCHES * SHOWN,
        "aliexpress-nl": 2 * SEARCHES * SHOWN,
    }


def test_values_of_a_category_are_dealt_out_and_each_stays_with_one_merchant(files: Path) -> None:
    market = read(options(files, by="categorical_9", merchants=3), Path())
    owners = pl.concat(
        tables.table.select("categorical_9", owner=pl.lit(name)) for name, tables in market.merchants.items()
    )
    assert len(market.merchants) == 3
    assert len(owners) == 4 * SEARCHES * SHOWN
    assert owners.unique().group_by("categorical_9").len()["len"].max() == 1


def test_a_share_keeps_whole_searches(files: Path) -> None:
    table = read(options(files, share=0.5), Path()).merchants["aliexpress-nl"].table
    assert table is not None
    assert set(table["search_id"].value_counts()["count"]) == {SHOWN}
    assert 0 < table["search_id"].n_unique() < 2 * SEARCHES


@pytest.fixture(scope="module")
def dataset(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The Netherlands, read by the client under the contract of the experiment."""
    market = read(options(files), Path())
    path = partition.write(market, tmp_path_factory.mktemp("merchants"))[1]
    contract = load_federation(EXPERIMENTS / "aliexpress.federation.toml")
    return prepare(load_merchant(path, contract), contract)


def test_the_public_test_file_is_the_test_and_searches_are_not_torn_apart(dataset: Dataset) -> None:
    rows = {split: dataset.rows(split) for split in ("train", "validation", "test")}
    assert len(rows["test"]) == SEARCHES * SHOWN
    assert len(rows["validation"]) > 0
    units = {split: set(dataset.unit[found.numpy()].tolist()) for split, found in rows.items()}
    assert not units["train"] & units["validation"]


def test_the_contract_of_the_experiment_multiplies_click_and_purchase(dataset: Dataset) -> None:
    contract = load_federation(EXPERIMENTS / "aliexpress.federation.toml")
    model = build(contract, generator=torch.Generator().manual_seed(0))
    rows = dataset.rows("train")
    click, purchase = (logits_of(model, dataset, task, rows).sigmoid() for task in ("click", "purchase"))
    assert click.mean().item() == pytest.approx(0.02)
    assert purchase.mean().item() == pytest.approx(0.001)
    assert set(contract.features) == set(FEATURES)


def test_the_experiment_reads_such_files(files: Path) -> None:
    assert load_experiment(EXPERIMENTS / "aliexpress.toml", data=files).market.directory == str(files)


def test_without_the_files_it_says_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"AliExpress_NL/train.csv is not there. Get the AliExpress search data"
    ):
        read(AliExpressMarket(directory=str(tmp_path)), Path())


def test_another_file_is_refused_by_its_missing_columns(tmp_path: Path) -> None:
    folder = write(tmp_path, "NL")
    file = folder / "AliExpress_NL" / "test.csv"
    pl.read_csv(file).drop("click", "numerical_63").write_csv(file)
    with pytest.raises(DataError, match="lacks the columns numerical_63, click"):
        read(AliExpressMarket(directory=str(folder), countries=("NL",)), Path())
