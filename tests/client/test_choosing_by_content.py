"""From a shop's tables through a round to what is served: a tower over items travels, the table stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from client.merchant import Merchant
from shared_model.model import initial_shared
from shared_model.protocol import SharedArrays
from shared_model.schema import Federation, load_federation
from tests.client import shops
from tests.client.exports import order, write_shop

CONTRACT: dict[str, Any] = {
    "federation": {"name": "tiny", "rounds": 3, "local_steps": 20, "expected_batch": 64},
    "local": {"optimizer": "adam", "learning_rate": 0.02},
    "features": {
        "category": {"kind": "categorical", "buckets": 64, "width": 4},
        "history": {"kind": "sequence", "of": ["category"], "encoder": "lstm", "width": 4},
    },
    "tasks": {"next_item": {"kind": "retrieval", "library": "next_item", "content": ["category"]}},
    "bottom": {"architecture": "shared_bottom", "hidden": [8]},
}
KINDS = ("garden", "kitchen")


def written(folder: Path, prefix: str, shoppers: int = 20) -> tuple[Path, Path]:
    """A shop in which everybody stays with one of two categories of three items each."""
    items = [{"item_id": f"{prefix}-{kind}-{n}", "category": kind} for kind in KINDS for n in range(3)]
    lines = [
        order(day + s / 100, item_id=f"{prefix}-{KINDS[s % 2]}-{(s + day) % 3}", customer_id=f"c{s}")
        for s in range(shoppers)
        for day in (0, 3, 6, 70)
    ]
    path = write_shop(folder, lines, items=items)
    (folder / "federation.toml").write_text(tomli_w.dumps(CONTRACT))
    return path, folder / "federation.toml"


def opened(folder: Path, prefix: str) -> Merchant:
    return shops.opened(*written(folder, prefix))


def after_rounds(merchant: Merchant, federation: Federation) -> SharedArrays:
    arrays = initial_shared(federation, 0)
    for number in (1, 2, 3):
        asked = shops.instruction(federation, arrays, round=number, answered=number - 1)
        arrays = merchant.train(asked, arrays).arrays
    return arrays


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> SharedArrays:
    merchant = opened(tmp_path_factory.mktemp("acme"), "acme")
    return after_rounds(merchant, merchant.federation)


def test_the_tower_leaves_and_the_table_of_items_does_not(tmp_path: Path, released: SharedArrays) -> None:
    contract = load_federation(written(tmp_path, "acme")[1])
    first = initial_shared(contract, 0)
    assert set(released) == set(first)
    assert {n for n in released if n.startswith("heads.")} == {
        f"heads.next_item.prior.{part}" for part in ("match.weight", "tower.bias", "tower.weight")
    }
    assert not np.array_equal(
        released["heads.next_item.prior.match.weight"], first["heads.next_item.prior.match.weight"]
    )


def test_a_shop_that_never_trained_ranks_its_own_items_by_what_others_learnt(
    tmp_path: Path, released: SharedArrays
) -> None:
    newcomer = opened(tmp_path, "other")
    newcomer.adopt(shops.offer(newcomer.federation, released, round=3), released)
    prior = newcomer.evaluate("validation", prior=True)["next_item"]
    # the three items of the shopper's category tie in front, so the chosen one has rank 2; blindly it is 3.5
    assert prior["MRR"] == pytest.approx(1 / 2)


def test_both_floors_and_the_verdict_stand_beside_it(tmp_path: Path, released: SharedArrays) -> None:
    merchant = opened(tmp_path, "acme")
    merchant.adopt(shops.offer(merchant.federation, released, round=3), released)
    found = merchant.evaluate("validation")["next_item"]
    assert {"recall@5", "recall@5 of popularity", "recall@10 over bought before"} <= set(found)


def test_a_catalogue_that_changed_drops_the_table_and_keeps_the_tower(
    tmp_path: Path, released: SharedArrays
) -> None:
    merchant = opened(tmp_path, "acme")
    merchant.adopt(shops.offer(merchant.federation, released, round=3), released)
    again = opened(tmp_path, "other")  # the same folder with other items
    served = dict(again.served().federated.named_parameters())
    tower = "heads.next_item.prior.match.weight"
    assert np.array_equal(served[tower].detach().numpy(), released[tower])
    assert not served["heads.next_item.own.weight"].any()
