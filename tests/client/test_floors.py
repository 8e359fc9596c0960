"""The floors rank what a shopper bought before first, and the rest by popularity."""

from pathlib import Path

import pytest
import torch

from client.data.dataset import Dataset
from client.floors import bought_before, popularity
from tests.client.exports import contract, dataset, order, write_shop

NEXT = contract(tasks={"next_item": {"kind": "retrieval", "library": "next_item"}})


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    crowd = [
        order(day, customer_id=f"c{day}", item_id=item) for day, item in enumerate(["mug"] * 5 + ["pot"] * 4)
    ]
    ann = [order(10 + day, item_id=item) for day, item in enumerate(["cup", "pan", "pan", "jar", "mug"])]
    return dataset(write_shop(tmp_path, [*crowd, *ann]), NEXT)


def ranking(dataset: Dataset, scores: torch.Tensor) -> list[str]:
    names = dataset.catalogues["next_item"]
    return [names[position] for position in scores.argsort(descending=True).tolist()]


def test_popularity_counts_training_rows(shop: Dataset) -> None:
    counts = dict(zip(shop.catalogues["next_item"], popularity(shop, "next_item").tolist(), strict=True))
    assert counts == {"mug": 6.0, "pot": 4.0, "pan": 2.0, "cup": 1.0, "jar": 1.0}


def test_a_shopper_without_a_past_gets_the_popular_items(shop: Dataset) -> None:
    scores = bought_before(shop, "next_item", torch.tensor([0]))
    assert ranking(shop, scores[0])[:3] == ["mug", "pot", "pan"]


def test_frequent_items_come_first_then_recent_ones_then_popular_ones(shop: Dataset) -> None:
    last = shop.rows("train")[-1:]  # ann's fifth order; before it she bought cup, pan, pan, jar
    assert ranking(shop, bought_before(shop, "next_item", last)[0]) == ["pan", "jar", "cup", "mug", "pot"]


def test_the_purchase_at_hand_does_not_count(shop: Dataset) -> None:
    rows = shop.rows("train")[9:10]  # ann's first order, a cup
    assert ranking(shop, bought_before(shop, "next_item", rows)[0])[0] == "mug"


def test_rows_do_not_influence_each_other(shop: Dataset) -> None:
    rows = shop.rows("train")
    alone = [bought_before(shop, "next_item", row[None])[0] for row in rows]
    assert torch.equal(bought_before(shop, "next_item", rows), torch.stack(alone))
