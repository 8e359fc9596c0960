"""A real seller's export through the `olist` preset, against counts taken straight from the export."""

import time
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from client.data.dataset import Dataset
from tests.client.exports import CATEGORY, NUMERIC, contract, dataset, write_merchant

EXPORT = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "olist" / "olist_lines.parquet"
pytestmark = pytest.mark.skipif(not EXPORT.exists(), reason="the Olist export is not in ../shared/data/olist")
FEDERATION = contract(
    features={
        "category": CATEGORY,
        "region": CATEGORY,
        "payment_type": CATEGORY,
        "price": NUMERIC | {"transform": "log1p", "center": 4.3},
        "promised_days": NUMERIC | {"transform": "log1p", "center": 3.1},
        "trailing_delivery_days": NUMERIC | {"center": 2.5, "scale": 0.4},
    },
    tasks={
        "bad_review": {"kind": "binary", "library": "bad_review"},
        "delivery_days": {"kind": "regression", "library": "delivery_days"},
        "units": {"kind": "count", "library": "units"},
        "next_item": {"kind": "retrieval", "library": "next_item"},
    },
)
TABLES = {"source": "lines.parquet", "preset": "olist"}
SPLIT = {"validation_from": "2018-04-01", "test_from": "2018-05-01"}


@pytest.fixture(scope="module")
def lines() -> pl.DataFrame:
    """The lines of the seller with most orders."""
    export = pl.read_parquet(EXPORT)
    seller = export.group_by("merchant_id").len().sort("len", "merchant_id")["merchant_id"][-1]
    return export.filter(pl.col("merchant_id") == seller)


@pytest.fixture(scope="module")
def seller(lines: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("seller")
    lines.write_parquet(folder / "lines.parquet")
    return dataset(write_merchant(folder, orders=TABLES, items=TABLES, split=SPLIT), FEDERATION)


def paid(lines: pl.DataFrame) -> pl.DataFrame:
    """One row per order that was not cancelled."""
    kept = lines.filter(~pl.col("order_status").cast(pl.String).is_in(["canceled", "unavailable"]))
    return kept.unique("order_id", keep="first", maintain_order=True)


def test_every_order_that_was_not_cancelled_is_a_row(seller: Dataset, lines: pl.DataFrame) -> None:
    rows = [len(seller.rows(part, kind="purchase")) for part in ("train", "validation", "test")]
    placed = paid(lines)["purchase_ts"]
    validation, test = datetime(2018, 4, 1), datetime(2018, 5, 1)
    train = (placed < validation).sum()
    assert rows == [train, (placed < test).sum() - train, (placed >= test).sum()]


def test_bad_reviews_of_the_test_period_are_those_of_the_export(seller: Dataset, lines: pl.DataFrame) -> None:
    delivered = paid(lines).filter(
        pl.col("delivered_ts").is_not_null(), pl.col("purchase_ts") >= datetime(2018, 5, 1)
    )
    scores = delivered["review_score"].fill_nan(None).drop_nulls()
    labels = seller.batch(seller.rows("test", task="bad_review")).labels["bad_review"]
    assert (len(labels), int(labels.sum())) == (len(scores), (scores <= 3).sum())


def test_nothing_that_the_preset_maps_is_missing(seller: Dataset) -> None:
    batch = seller.batch(seller.rows("train", kind="purchase"))
    assert not batch.numeric.isnan().any()
    assert (batch.ids["region"] > 0).float().mean() > 0.99
    assert set(seller.status) == set(FEDERATION.tasks)
    assert all(status.on for status in seller.status.values())


@pytest.mark.slow
def test_a_hundred_thousand_lines_take_a_few_seconds(tmp_path: Path) -> None:
    pl.read_parquet(EXPORT).write_parquet(tmp_path / "lines.parquet")
    path = write_merchant(tmp_path, orders=TABLES, items=TABLES, split=SPLIT)
    started = time.monotonic()
    dataset(path, FEDERATION)
    assert time.monotonic() - started < 15
