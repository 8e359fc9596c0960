"""Who may train with whom, by what they choose among."""

from dataclasses import replace

import pytest

from simulations.vectorised.groups import Group, group_of, obstacle_of_items
from simulations.vectorised.shops import MemoryShop, memory_market

from .made_up import contract, shop


def chooser(items: int, **options: int) -> MemoryShop:
    """A merchant that chooses among so many items."""
    federation = contract(tasks={"next": {"kind": "retrieval", **options}})
    rows = shop(federation, 0, rows=10)
    return memory_market(federation, {"alba": replace(rows, catalogues={"next": items})}, seed=0)["alba"]


def group(items: int, **options: int) -> Group:
    return group_of(chooser(items, **options), ["next"])


@pytest.mark.parametrize(
    ("items", "places"), [(1, 128), (128, 128), (129, 256), (1025, 2048), (2049, 2560), (3073, 3584)]
)
def test_catalogues_of_about_one_size_are_of_one_group(items: int, places: int) -> None:
    assert group(items).places == (("next", places),)


def test_a_catalogue_that_no_round_reads_parts_nobody() -> None:
    assert group_of(chooser(7), []) == group_of(chooser(7000), [])


def test_merchants_whose_catalogues_are_drawn_from_train_alone() -> None:
    assert obstacle_of_items(group(300, max_full=300), 10) is None
    assert obstacle_of_items(group(301, max_full=300), 10) == "items of a large catalogue are drawn (next)"


def test_scores_that_one_merchant_computes_in_parts_are_not_computed_for_several() -> None:
    assert obstacle_of_items(group(4096), 2048) is None  # 2 ** 23 scores
    assert str(obstacle_of_items(group(4097), 2048)).startswith("scores of a large catalogue")
