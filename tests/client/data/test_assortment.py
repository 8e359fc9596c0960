"""What a shop says of its items reaches the tower, in the order of the catalogue."""

from pathlib import Path
from typing import Any

import polars as pl
import torch

from client.data.dataset import Dataset
from client.data.missing import missing_shares
from shared_model.features import Batch
from tests.client.exports import CATEGORY, NUMERIC, contract, dataset, order, write_shop, write_table

TEXT = {"kind": "text", "buckets": 64, "width": 2, "characters": [0, 0]}
FEATURES = {"category": CATEGORY, "price": NUMERIC, "title": TEXT, "month": NUMERIC}
DAYS = [order(0, item_id="mug", unit_price=4.0), order(1, item_id="pot", unit_price=9.0)]
DAYS += [order(2, item_id="pot", unit_price=8.0), order(70, item_id="mug", unit_price=99.0)]
ITEMS = [
    {"item_id": "cup", "category": "kitchen"},
    {"item_id": "pot", "category": "garden", "title": "Big pot"},
]


def choosing(content: list[str], **task: Any) -> Any:
    declared = {"kind": "retrieval", "library": "next_item", "content": content, **task}
    bottom = {"architecture": "shared_bottom", "hidden": [2]}
    return contract(features=FEATURES, tasks={"next_item": declared}, bottom=bottom)


def items_of(made: Dataset) -> Batch:
    return made.batch(torch.tensor([0])).items["next_item"]


def test_items_are_encoded_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, DAYS, items=ITEMS), choosing(["category", "price", "title"]))
    items = items_of(made)
    assert made.catalogues["next_item"] == ("pot", "mug")
    assert (items.ids["category"] > 0).tolist() == [True, False]  # nothing is known of the mug
    assert (items.ids["title"] > 0).sum(1).tolist() == [2, 0]
    assert items.numeric.shape == (2, 1)


def test_an_item_has_the_row_of_its_category_that_rows_have(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, DAYS, items=ITEMS), choosing(["category"]))
    rows = dataset(
        write_table(
            tmp_path / "table", pl.DataFrame({"category": ["garden"], "late": [1]}), labels={"late": "late"}
        ),
        contract(features={"category": CATEGORY}, tasks={"late": {"kind": "binary"}}),
    )
    assert items_of(made).ids["category"][0] == rows.batch(torch.tensor([0])).ids["category"][0]


def test_without_a_list_price_the_last_sale_to_train_on_tells_it(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, DAYS, items=ITEMS), choosing(["price"]))
    assert items_of(made).numeric.flatten().tolist() == [
        4.0,
        4.0,
    ]  # pot: 8, cut to 4; mug: 4, not the later 99


def test_a_list_price_comes_first(tmp_path: Path) -> None:
    priced = [{"item_id": "pot", "price": 2.0}, {"item_id": "mug", "price": 3.0}]
    made = dataset(write_shop(tmp_path, DAYS, items=priced), choosing(["price"]))
    assert items_of(made).numeric.flatten().tolist() == [2.0, 3.0]


def test_without_an_items_table_items_are_known_by_their_price_alone(tmp_path: Path) -> None:
    items = items_of(dataset(write_shop(tmp_path, DAYS), choosing(["category", "price"])))
    assert not items.ids["category"].any()
    assert not items.numeric.isnan().any()


def test_in_a_ready_table_nothing_is_known_of_the_items(tmp_path: Path) -> None:
    frame = pl.DataFrame({"price": [1.0, 2.0], "item": ["mug", "pot"], "who": ["ann", "bob"]})
    made = dataset(
        write_table(tmp_path, frame, unit="who", labels={"next_item": "item"}),
        choosing(["category", "price"], library=""),
    )
    items = items_of(made)
    assert items.numeric.isnan().all()
    assert not items.ids["category"].any()


def test_a_task_without_content_brings_no_items(tmp_path: Path) -> None:
    made = dataset(write_shop(tmp_path, DAYS, items=ITEMS), choosing([]))
    assert made.batch(torch.tensor([0])).items == {}


def test_check_tells_of_how_many_items_a_feature_says_nothing(tmp_path: Path) -> None:
    federation = choosing(["category", "price", "title"])
    found = missing_shares(dataset(write_shop(tmp_path, DAYS, items=ITEMS), federation), federation)
    about_items = {slot: share for slot, share in found.items() if "of items" in slot}
    assert about_items == {  # of pot and mug the table knows the pot, and both have a price of sale
        "price of items for next_item": 0.0,
        "category of items for next_item": 0.5,
        "title of items for next_item": 0.5,
    }
