"""Rankings are judged by hand-checked numbers, and next to what costs nothing."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from client.data.dataset import Dataset
from client.measures import ranking
from client.measures.ranking import clustered_error, measured, ranks_of, verdicts
from tests.client.exports import contract, dataset, order, write_shop

NEXT = contract(tasks={"next_item": {"kind": "retrieval", "library": "next_item"}})


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    """Mugs are popular; ann buys pans."""
    crowd = [order(day, customer_id=f"c{day}", item_id="mug") for day in range(4)]
    ann = [order(10 + day, item_id="pan") for day in range(3)]
    later = [order(70, item_id="pan"), order(71, customer_id="bob", item_id="mug")]
    return dataset(write_shop(tmp_path, [*crowd, *ann, *later]), NEXT)


def scoring(best: str, shop: Dataset) -> ranking.Predict:
    """A model that always ranks one item first."""
    place = shop.catalogues["next_item"].index(best)
    one_hot = torch.eye(len(shop.catalogues["next_item"]))[place]
    return lambda rows: one_hot.expand(len(rows), -1)


def test_ranks_by_hand() -> None:
    found = ranking.ranking(torch.tensor([1.0, 3.0, 7.0, 40.0]))
    # gains 1 / log2(1 + rank): 1, 1/2, 1/3
    assert found == pytest.approx(
        {
            "recall@1": 0.25, "recall@5": 0.5, "recall@10": 0.75, "recall@20": 0.75,
            "nDCG@1": 0.25, "nDCG@5": 1.5 / 4, "nDCG@10": (1.5 + 1 / 3) / 4, "nDCG@20": (1.5 + 1 / 3) / 4,
            "MRR": (1 + 1 / 3 + 1 / 7 + 1 / 40) / 4,
        }
    )  # fmt: skip


def test_a_tie_lies_between_two_places() -> None:
    found = ranking.ranking(torch.tensor([1.5]))
    assert found["recall@1"] == 1.0  # as recall@10 of a rank of 10.5 is
    assert found["nDCG@1"] == pytest.approx(0.7564, abs=1e-4)  # 1 / log2(2.5)
    assert found["MRR"] == pytest.approx(2 / 3)


def test_few_scores_at_a_time_give_the_same_ranks(shop: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, predict = shop.rows("train", task="next_item"), scoring("pan", shop)
    whole = ranks_of(shop, "next_item", rows, predict, 2)
    monkeypatch.setattr(ranking, "CELLS", 2)
    assert torch.equal(ranks_of(shop, "next_item", rows, predict, 2), whole)
    assert whole.tolist() == [2.0] * 4 + [1.0] * 3


def test_both_floors_stand_beside_the_model(shop: Dataset) -> None:
    rows: Tensor = shop.rows("validation", task="next_item")  # ann's pan, bob's mug
    found = measured(shop, "next_item", rows, scoring("pan", shop))
    assert [found[f"recall@1{floor}"] for floor in ("", " of popularity", " of bought before")] == [
        0.5,
        0.5,
        1.0,
    ]
    assert [found[f"MRR{floor}"] for floor in ("", " of popularity", " of bought before")] == [
        0.75,
        0.75,
        1.0,
    ]


def test_a_model_below_a_floor_loses_by_however_little() -> None:
    facts = {
        "recall@10 over popularity": -0.001, "recall@10 over popularity, standard error": 0.1,
        "recall@10 over bought before": 0.1, "recall@10 over bought before, standard error": 0.06,
    }  # fmt: skip
    assert verdicts(facts) == {"popularity": "loses", "bought before": "no clear gain"}
    assert verdicts({**facts, "recall@10 over popularity": 0.21})["popularity"] == "wins"


def test_with_one_shopper_nothing_is_clear() -> None:
    assert clustered_error(torch.tensor([1.0, 0.0]), torch.tensor([3, 3])) != 0
    facts = {
        f"recall@10 over {f}{s}": float("nan") if s else 0.5
        for f in ranking.FLOORS
        for s in ("", ", standard error")
    }
    assert set(verdicts(facts).values()) == {"no clear gain"}
