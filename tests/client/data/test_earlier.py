"""What a row knows of its shopper's earlier purchases; nothing of its own order or later is in it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data import earlier
from client.data.dataset import Dataset
from client.data.earlier import EarlierItems, Purchases, Rows, write_earlier
from shared_model.repeats import Earlier
from tests.client.exports import contract, dataset, order, write_shop

NEXT = contract(tasks={"next_item": {"kind": "retrieval", "library": "next_item", "repeats": True}})
Item = tuple[str, float, float]


def known(shop: Dataset, number: int) -> list[Item]:
    """Item, times and days of the earlier items of one row, the latest first."""
    rows = torch.tensor([number])
    found = shop.batch(rows, ["next_item"]).earlier["next_item"]
    names = shop.catalogues["next_item"]
    places = found.known[0].nonzero().flatten().tolist()
    return [
        (names[int(found.items[0, p])], float(found.times[0, p]), float(found.days[0, p])) for p in places
    ]


def opened(folder: Path, *orders: dict[str, Any]) -> Dataset:
    return dataset(write_shop(folder, orders), NEXT)


def test_of_every_item_it_is_known_how_many_orders_held_it_and_when_the_last_one_was(tmp_path: Path) -> None:
    shop = opened(tmp_path, order(0), order(1, item_id="pot"), order(3), order(4.5, item_id="cup"))
    assert known(shop, 3) == [("mug", 2.0, 1.5), ("pot", 1.0, 3.5)]


def test_two_lines_of_one_order_are_one_purchase(tmp_path: Path) -> None:
    shop = opened(tmp_path, order(0), order(0), order(2))
    assert known(shop, 1) == [("mug", 1.0, 2.0)]


def test_the_first_order_knows_nothing_and_no_order_knows_itself(tmp_path: Path) -> None:
    shop = opened(tmp_path, order(0), order(1))
    assert known(shop, 0) == []
    assert known(shop, 1) == [("mug", 1.0, 1.0)]


def test_other_lines_of_an_order_count_once_it_is_over(tmp_path: Path) -> None:
    shop = opened(tmp_path, order(0), order(0, item_id="pot"), order(2), order(5, item_id="pot"))
    assert known(shop, 1) == [("mug", 1.0, 2.0), ("pot", 1.0, 2.0)]


def test_nobody_knows_what_others_bought_and_guests_have_no_past(tmp_path: Path) -> None:
    guest = {"customer_id": None}
    shop = opened(
        tmp_path, order(0, **guest), order(1, **guest), order(2, customer_id="bob"), order(3), order(4)
    )
    assert [known(shop, number) for number in range(4)] == [[], [], [], []]
    assert known(shop, 4) == [("mug", 1.0, 1.0)]


def test_two_orders_at_one_moment_do_not_know_each_other(tmp_path: Path) -> None:
    shop = opened(tmp_path, order(0, order_id="a"), order(0, order_id="b", item_id="pot"), order(1))
    assert [known(shop, number) for number in (0, 1)] == [[], []]


def test_only_the_items_that_were_bought_last_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "MOST", 2)
    shop = opened(
        tmp_path, *(order(day, item_id=i) for day, i in enumerate(["mug", "pot", "cup", "mug", "mug"]))
    )
    assert known(shop, 4) == [("mug", 2.0, 1.0), ("cup", 1.0, 2.0)]


def test_rows_of_other_kinds_and_tasks_without_repeats_have_no_lists(tmp_path: Path) -> None:
    federation = contract(
        tasks={
            "next_item": {"kind": "retrieval", "library": "next_item", "repeats": True},
            "late": {"kind": "binary", "library": "late"},
        }
    )
    shop = dataset(write_shop(tmp_path, [order(0), order(1)]), federation)
    assert not shop.batch(torch.arange(len(shop)), ["late"]).earlier
    other = torch.from_numpy(np.flatnonzero(shop.kind != shop.kinds.index("visit")))
    assert not shop.batch(other, ["next_item"]).earlier["next_item"].known.any()


def test_rows_in_many_parts_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [order(day, item_id=f"i{day % 3}", customer_id=f"c{day % 2}") for day in range(12)]
    whole = opened(tmp_path / "whole", *orders)
    monkeypatch.setattr(earlier, "_AT_ONCE", 3)
    parts = opened(tmp_path / "parts", *orders)
    assert [known(parts, n) for n in range(12)] == [known(whole, n) for n in range(12)]


def test_an_item_outside_the_catalogue_is_not_known(tmp_path: Path) -> None:
    shop = opened(tmp_path, order(0), order(1), order(70, item_id="new"), order(80))
    assert known(shop, 3) == [("mug", 2.0, 79.0)]


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(st.integers(0, 6), min_size=1, max_size=8),
    later=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=6),
    at=st.integers(0, 6),
)
def test_nothing_of_the_same_moment_or_later_changes_what_is_known(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], later: list[tuple[int, int]], at: int
) -> None:
    past = [(day, day % 3) for day in days]
    with_more = past + [(day, item) for day, item in later if day >= at]
    only_past = [(day, item) for day, item in past if day < at]
    found = [of_one_shopper(tmp_path_factory, bought, at) for bought in (with_more, only_past)]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def of_one_shopper(folders: pytest.TempPathFactory, bought: list[tuple[int, int]], at: int) -> Earlier:
    """What is known at day `at` of somebody who bought items on days; another shopper bought all, earlier."""
    folder = folders.mktemp("shop")
    mine = sorted(bought)
    moments = np.array([-1, -1, -1, *(day for day, _ in mine)], "datetime64[D]").astype("datetime64[us]")
    purchases = Purchases(
        np.array([0, 0, 0, *(1 for _ in mine)]), moments, np.array([0, 1, 2, *(item for _, item in mine)])
    )
    when = np.array([at], "datetime64[D]").astype("datetime64[us]")
    write_earlier(folder, "next_item", Rows(np.array([1]), when, np.array([True])), purchases)
    return EarlierItems(folder, "next_item").of(torch.tensor([0]))
