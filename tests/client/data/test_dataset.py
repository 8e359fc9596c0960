"""A dataset is encoded once, wholly or not at all, and again only when something changed."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from client.data import arrays, stored
from shared_model.errors import DataError
from shared_model.schema import Federation
from tests.client.exports import NUMERIC, contract, dataset, order, write_shop

LATE = {"kind": "binary", "library": "late"}
ITEM = {"kind": "retrieval", "library": "next_item", "max_items": 2}
DAYS = [
    order(day, item_id=item)
    for day, item in [(0, "mug"), (1, "pot"), (2, "pot"), (3, "pan"), (70, "pan"), (120, "cup")]
]
BOTH = contract(tasks={"late": LATE, "next_item": ITEM})


def arrays_of(path: Path) -> dict[Path, int]:
    """Every array of a merchant's state, with the moment it was written."""
    return {file: file.stat().st_mtime_ns for file in (path.parent / "state").rglob("*.npy")}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_shop(tmp_path, DAYS)


# --- what it offers -----------------------------------------------------------------------------------


def test_rows_are_split_by_time(shop: Path) -> None:
    made = dataset(shop, contract())  # days 0 to 3 train, 70 validates, 120 tests
    assert [len(made.rows(part)) for part in ("train", "validation", "test")] == [4, 1, 1]
    assert len(made) == 6


def test_each_task_has_its_own_kind_of_rows(shop: Path) -> None:
    made = dataset(shop, BOTH)
    assert dict(made.rows_of) == {"late": "purchase", "next_item": "visit"}
    assert len(made.rows("train", kind="visit")) == 4
    assert len(made.rows("train", kind="visit", task="late")) == 0
    assert len(made.rows("train", kind="session")) == 0


def test_a_batch_holds_the_rows_that_were_asked_for(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, [order(day, unit_price=float(day)) for day in range(5)]), contract())
    rows = torch.tensor([3, 1])
    assert made.batch(rows).numeric.tolist() == [[3.0], [1.0]]
    assert made.batch(rows).labels["late"].tolist() == [0.0, 0.0]
    assert made.batch(rows, tasks=()).labels == {}
    assert len(made.batch(rows)) == 2


def test_the_catalogue_is_what_training_rows_bought_most_sold_first(shop: Path) -> None:
    made = dataset(shop, BOTH)
    assert made.catalogues["next_item"][0] == "pot"
    assert len(made.catalogues["next_item"]) == 2
    assert made.sold("next_item").tolist() == [2, 1]


def test_an_item_outside_the_catalogue_is_no_label(shop: Path) -> None:
    made = dataset(shop, BOTH)
    assert len(made.rows("test", task="next_item")) == 0  # the cup was never sold in training


def test_units_are_numbered_and_shared_by_all_kinds_of_rows(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, [order(0), order(1, customer_id="bob"), order(2)]), BOTH)
    purchase, visit = (made.unit[made.rows("train", kind=kind).numpy()] for kind in ("purchase", "visit"))
    assert purchase.tolist() == visit.tolist()
    assert purchase[0] == purchase[2] != purchase[1]


def test_an_own_task_stands_beside_the_common_ones(tmp_path: Path) -> None:
    tasks = [{"name": "late"}, {"name": "basket", "kind": "regression", "library": "order_value"}]
    made = dataset(write_shop(tmp_path, [order(0), order(1)], task=tasks), contract())
    assert list(made.tasks) == ["late", "basket"]
    assert made.own_tasks == {"basket"}
    assert made.batch(made.rows("train", task="basket")).labels["basket"].tolist() == [10.0, 10.0]


def test_the_encoded_data_is_for_its_owner_alone(shop: Path) -> None:
    dataset(shop, contract())
    assert (shop.parent / "state" / "encoded").stat().st_mode & 0o077 == 0


def test_a_moment_is_kept_in_utc(shop: Path) -> None:
    assert dataset(shop, contract()).time[0] == np.datetime64("2024-01-01T12:00:00")


def test_one_order_is_enough(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, [order(0)]), BOTH)
    assert len(made.rows("train", task="late")) == 1


def test_a_task_without_a_single_label_is_off(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, [order(0, promised_ts=None), order(1, delivered_ts=None)]), BOTH)
    assert made.status["late"].reason == "no row has a label that counts"
    assert list(made.tasks) == ["next_item"]


def test_no_task_at_all_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"late is off, delivered_ts in \[orders\] is missing"):
        dataset(write_shop(tmp_path, [order(0, delivered_ts=None)]), contract())


def test_days_may_be_counted_back_from_the_end(tmp_path: Path) -> None:
    # The last day ends at midnight after day 100: test are days 41 to 100, validation days 11 to 40.
    orders = [order(day) for day in (0, 10, 11, 40, 41, 100)]
    made = dataset(write_shop(tmp_path, orders, split={}), contract())
    assert [len(made.rows(part)) for part in ("train", "validation", "test")] == [2, 2, 2]


@pytest.mark.parametrize("limit", [0, 2**40])
def test_memory_mapped_and_held_in_memory_are_the_same(
    shop: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "IN_MEMORY", limit)
    batch = dataset(shop, BOTH).batch(torch.arange(4))
    assert batch.ids["category"].dtype == torch.int64
    assert batch.numeric.tolist() == [[4.0]] * 4  # 10, clipped


# --- once, and wholly ---------------------------------------------------------------------------------


def test_an_unchanged_shop_is_not_encoded_again(shop: Path) -> None:
    dataset(shop, contract())
    before = arrays_of(shop)
    dataset(shop, contract())
    assert arrays_of(shop) == before


@pytest.mark.parametrize(
    "other",
    [
        contract(features={"price": NUMERIC | {"center": 1.0}}),
        contract(federation={"name": "test", "rounds": 1, "hash_key": "other"}),
    ],
)
def test_another_contract_is_encoded_afresh_and_the_old_arrays_go(shop: Path, other: Federation) -> None:
    dataset(shop, contract())
    before = arrays_of(shop)
    dataset(shop, other)
    assert not set(arrays_of(shop)) & set(before)


def test_a_changed_export_is_encoded_afresh(shop: Path) -> None:
    assert len(dataset(shop, contract())) == 6
    write_shop(shop.parent, DAYS[:3])
    assert len(dataset(shop, contract())) == 3


def test_a_touched_export_is_read_again(shop: Path) -> None:
    dataset(shop, contract())
    before = arrays_of(shop)
    os.utime(shop.parent / "orders.parquet", ns=(1, 1))
    dataset(shop, contract())
    assert not set(arrays_of(shop)) & set(before)


def test_a_truncated_array_is_noticed_and_encoded_again(shop: Path) -> None:
    dataset(shop, contract())
    (numeric,) = [file for file in arrays_of(shop) if file.stem == "numeric"]
    numeric.write_bytes(numeric.read_bytes()[:-1])
    assert dataset(shop, contract()).batch(torch.tensor([0])).numeric.tolist() == [[4.0]]


def test_a_full_disk_leaves_nothing_half_written_behind(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(arrays.Growing, "append", full)
        with pytest.raises(OSError, match="No space left"):
            dataset(shop, contract())
    assert list((shop.parent / "state").rglob("*.npy")) == []
    assert list((shop.parent / "state" / "encoded").iterdir()) == []
    assert len(dataset(shop, contract())) == 6


def test_a_failed_encode_keeps_the_dataset_from_before(shop: Path) -> None:
    dataset(shop, contract())
    before = arrays_of(shop)
    (shop.parent / "orders.parquet").write_bytes(b"half an export")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        dataset(shop, contract())
    assert arrays_of(shop) == before


def test_what_a_killed_process_left_is_swept_away(shop: Path) -> None:
    left = shop.parent / "state" / "encoded" / ".abc.999999999.tmp"
    left.mkdir(parents=True)
    dataset(shop, contract())
    assert not left.exists()
