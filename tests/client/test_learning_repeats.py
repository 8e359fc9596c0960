"""In a shop where shoppers come back to what they bought last, a model learns so and beats the floor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from client.alone import linear_model
from client.evaluation import predictor
from client.measures.ranking import measured
from client.state import load_round
from shared_model.model import initial_shared
from shared_model.schema import load_federation
from tests.client import shops
from tests.client.exports import contract, dataset, order, write_shop

CONTRACT: dict[str, Any] = {
    "federation": {"name": "tiny", "rounds": 3, "local_steps": 5, "expected_batch": 64},
    "local": {"optimizer": "adam", "learning_rate": 0.05},
    "features": {"category": {"kind": "categorical", "buckets": 16, "width": 4}},
    "tasks": {
        "next_item": {"kind": "retrieval", "library": "next_item", "repeats": True, "content": ["category"]}
    },
    "bottom": {"architecture": "shared_bottom", "hidden": [4]},
}
TASK = {"kind": "retrieval", "library": "next_item", "repeats": True}
ITEMS, SHOPPERS, ORDERS = 30, 60, 20


def lines() -> list[dict[str, Any]]:
    """Every shopper buys what it bought last, and one time in five any item, which it then stays with.

    So what was bought most often is the wrong guess; the floor makes it.
    """
    source = np.random.default_rng(0)
    fresh = source.random((SHOPPERS, ORDERS)) < 0.2
    fresh[:, 0] = True
    any_item = source.integers(ITEMS, size=(SHOPPERS, ORDERS))
    last = np.maximum.accumulate(np.where(fresh, np.arange(ORDERS), 0), axis=1)
    bought = np.take_along_axis(any_item, last, axis=1)
    return [
        order(5 * day + s / 100, item_id=f"i{bought[s, day]}", customer_id=f"c{s}")
        for s in range(SHOPPERS)
        for day in range(ORDERS)
    ]


def test_a_model_that_learns_from_repeats_beats_what_was_bought_before(tmp_path: Path) -> None:
    federation = contract(tasks={"next_item": TASK})
    shop = dataset(write_shop(tmp_path, lines()), federation)
    model = linear_model(federation, shop)
    found = measured(shop, "next_item", shop.rows("test"), predictor(model, shop, "next_item"))
    assert found["recall@1"] > found["recall@1 of bought before"] + 0.1
    assert found["MRR"] > found["MRR of bought before"] + 0.05


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "federation.toml").write_text(tomli_w.dumps(CONTRACT))
    return write_shop(tmp_path / "acme", lines()), tmp_path / "federation.toml"


def test_a_merchant_says_that_it_trains_what_is_learnt_together(tmp_path: Path) -> None:
    alone = {**CONTRACT, "tasks": {"next_item": TASK}}
    (tmp_path / "federation.toml").write_text(tomli_w.dumps(alone))
    merchant = shops.opened(write_shop(tmp_path / "acme", lines()), tmp_path / "federation.toml")
    assert merchant.describe().tasks == {"next_item"}  # or the coordinator would leave its numbers out


def test_a_round_moves_what_is_learnt_together_and_no_residual(written: tuple[Path, Path]) -> None:
    merchant = shops.opened(*written)
    arrays = initial_shared(load_federation(written[1]), 0)
    answer = merchant.train(shops.instruction(merchant.federation, arrays, round=1, answered=0), arrays)
    assert np.abs(answer.arrays["heads.next_item.repeats.weight"]).min() > 0
    kept = load_round(merchant.config.state, merchant.federation.fingerprint, shops.LINEAGE)
    assert kept is not None
    assert not kept.local["heads.next_item.own.repeats.weight"].any()


def test_what_was_fitted_is_found_again(written: tuple[Path, Path]) -> None:
    merchant = shops.opened(*written)
    arrays = initial_shared(load_federation(written[1]), 0)
    merchant.adopt(shops.offer(merchant.federation, arrays, round=3), arrays)
    served = dict(shops.opened(*written).served().federated.named_parameters())
    how_lately = served["heads.next_item.own.repeats.weight"][0, 2]
    assert float(how_lately.detach()) > 1.0
