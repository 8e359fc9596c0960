"""Units per item and week: what goes in, the noise on them, and the rows that are made from them."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose

from client.data.counts import (
    MOST_ITEMS,
    WEEKS,
    Counts,
    counts_file,
    exact_counts,
    load_counts,
    noised_counts,
    save_counts,
)
from client.data.private_build import read_counts
from client.data.private_checks import private_tasks
from client.data.private_rows import PrivateRows, private_rows
from shared_model.errors import StateError
from shared_model.privacy.plan import CountsPlan
from shared_model.protocol import Instruction
from shared_model.schema import Federation
from tests.client.data.test_private_rows import LATE, UNITS, private
from tests.client.data.test_statistics import Ones, Seeded
from tests.client.exports import NUMERIC, SPLIT, loaded, order, write_merchant, write_shop

UNTIL = datetime(2024, 3, 1, tzinfo=UTC)
PLAN = CountsPlan(lines=2, quantity=1.0, noise_multiplier=3.0)
FEATURES = {name: NUMERIC | {"clip": 200.0} for name in ("price", "units_7d", "units_28d", "units_90d")}
ITEMS = [{"item_id": name, "price": 5.0} for name in ("mug", "pot")]


def line(days_before: float, unit: int = 1, item: str = "mug", quantity: float = 1.0) -> dict[str, Any]:
    return {
        "order_ts": UNTIL - timedelta(days=days_before),
        "unit": unit,
        "item_id": item,
        "quantity": quantity,
    }


def counted(*lines: dict[str, Any], plan: CountsPlan = PLAN) -> Counts:
    return exact_counts(pl.DataFrame(lines), pl.DataFrame({"item_id": ["mug", "pot"]}), UNTIL, plan)


def cells(counts: Counts) -> dict[tuple[str, int], float]:
    places = zip(*counts.sold.nonzero(), strict=True)
    return {(counts.items[item], int(week)): float(counts.sold[item, week]) for item, week in places}


# --- what goes in -------------------------------------------------------------------------------------


def test_weeks_are_counted_back_from_validation_and_begin_with_their_first_instant() -> None:
    found = counted(line(0.01, 1), line(7, 2), line(7.01, 3), line(14, 4))
    assert cells(found) == {("mug", 0): 2.0, ("mug", 1): 2.0}


def test_what_lies_in_validation_or_too_far_back_does_not_count() -> None:
    assert cells(counted(line(0, 1), line(-3, 2), line(7 * WEEKS + 1, 3))) == {}


def test_a_unit_counts_in_its_latest_places_only() -> None:
    found = counted(line(30), line(20), line(10), line(1, item="pot"))
    assert cells(found) == {("pot", 0): 1.0, ("mug", 1): 1.0}


def test_lines_of_one_unit_item_and_week_are_one_place_with_a_bounded_quantity() -> None:
    four = CountsPlan(lines=2, quantity=4.0, noise_multiplier=1.0)
    found = counted(line(1, quantity=5.0), line(2), line(3), plan=four)
    assert cells(found) == {("mug", 0): 4.0}


def test_an_item_that_is_not_in_the_assortment_does_not_count() -> None:
    assert cells(counted(line(1, item="pan"))) == {}


# --- the noise ----------------------------------------------------------------------------------------


def test_every_number_has_the_noise_of_the_plan_and_lies_on_a_grid() -> None:
    told = noised_counts(counted(line(1)), PLAN, Ones())
    std = 3 * math.sqrt(2)
    assert_allclose(told.sold[0, :2], [1 + std, std], atol=std * 2**-12)
    assert told.noise_std == pytest.approx(std)
    grid = told.sold / (std * 2**-12)
    assert_allclose(grid, grid.round(), atol=1e-6)


def test_items_that_nobody_bought_are_noised_too() -> None:
    told = noised_counts(counted(line(1)), PLAN, Seeded(0))
    # 104 draws: within 30 % but for one seed in fifty thousand
    assert told.sold[1].std() == pytest.approx(told.noise_std, rel=0.3)


def test_noise_is_added_once() -> None:
    told = noised_counts(counted(line(1)), PLAN, Ones())
    with pytest.raises(ValueError, match="Expected exact sums"):
        noised_counts(told, PLAN, Ones())


def test_what_was_told_is_found_again(tmp_path: Path) -> None:
    told = noised_counts(counted(line(1)), PLAN, Ones())
    path = counts_file(tmp_path, Instruction(fingerprint="f", lineage="l", round=1, digest="d"))
    assert load_counts(path) is None
    save_counts(path, told)
    found = load_counts(path)
    assert found is not None
    assert (found.items, found.noise_std) == (told.items, told.noise_std)
    assert_allclose(found.sold, told.sold)


def test_a_file_of_another_version_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_counts(tmp_path / "x", counted(line(1)))
    monkeypatch.setattr("client.data.counts.VERSION", "2")
    with pytest.raises(StateError, match="version '1'"):
        load_counts(tmp_path / "x")


# --- what is listed -----------------------------------------------------------------------------------


def listed(counts: Counts, week: int = 2) -> list[bool]:
    items = np.arange(len(counts.items))
    return counts.listed(items, np.full(len(items), week)).tolist()


def sold(*per_item: float, noise_std: float = 0.0) -> Counts:
    """The same units in each of the 26 weeks before the row, and nothing elsewhere."""
    table = np.zeros((len(per_item), WEEKS))
    table[:, 2:28] = np.array(per_item)[:, None]
    return Counts(items=tuple(f"i{n}" for n in range(len(per_item))), sold=table, noise_std=noise_std)


def test_an_item_is_listed_where_its_sales_stand_out_from_the_noise() -> None:
    # 26 weeks: the noise of their sum is sqrt(26) = 5.1, twice that is 10.2 units, .39 a week
    assert listed(sold(0.38, 0.40, noise_std=1.0)) == [False, True]


def test_what_was_sold_after_a_row_does_not_list_it() -> None:
    assert listed(sold(1.0), week=28) == [False]


def test_at_most_the_best_selling_items_are_listed() -> None:
    found = listed(sold(*np.linspace(1, 2, MOST_ITEMS + 5)))
    assert found == [False] * 5 + [True] * MOST_ITEMS


# --- rows ---------------------------------------------------------------------------------------------


def agreement(**policy: Any) -> Federation:
    return private({**LATE, **UNITS}, FEATURES, labels="noised", **policy)


def rows_of(folder: Path, counts: Counts) -> PrivateRows:
    federation = agreement()
    path = write_shop(folder, [order(0)], items=ITEMS)
    return private_rows(loaded(path, federation), federation, None, counts)


def told() -> Counts:
    """Ten mugs a week in the last half year, of which none in the last two weeks; no pots."""
    table = np.zeros((2, WEEKS))
    table[0, 2:28] = 10.0
    return Counts(items=("mug", "pot"), sold=table)


def test_labels_and_columns_are_sums_of_what_was_told(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, told())
    found = rows.batch(torch.arange(len(rows)))
    items = ~found.labels["units"].isnan()
    # In the order of time: the last row is two weeks before validation, and nothing is sold in the 14 days
    # after it, but 20 after the one before. It looks back on full weeks: 130 units in 91 days, 128.6 in 90.
    assert found.labels["units"][items][-2:].tolist() == [20.0, 0.0]
    assert_allclose(found.numeric[items][-1, 1:], [40.0, 10.0, 130 * 90 / 91], rtol=1e-6)  # 28, 7, 90 days
    assert_allclose(found.numeric[items][:, 0], 5.0)  # the list price


def test_rows_that_are_not_listed_are_left_out_and_the_others_of_an_item_weigh_one(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, told())
    items = ~rows.batch(torch.arange(len(rows))).labels["units"].isnan()
    assert int(items.sum()) == 13  # mugs, every second week of 26
    assert float(rows.weight[items].sum()) == pytest.approx(1.0)
    assert rows.weight[~items].tolist() == [1.0]  # the order itself
    assert rows.units == 3  # one shopper and two items, of which one has no row
    assert [len(rows.rows_of_units(torch.tensor([unit]))) for unit in range(3)].count(0) == 1


def test_an_item_that_joined_the_assortment_later_has_no_rows(tmp_path: Path) -> None:
    before = Counts(items=("pot",), sold=np.full((1, WEEKS), 3.0))
    rows = rows_of(tmp_path, before)
    found = rows.batch(torch.arange(len(rows)), ["units"]).labels["units"]
    assert set(found[~found.isnan()].tolist()) == {6.0}


def test_the_exact_counts_are_kept_aside(tmp_path: Path) -> None:
    federation = agreement()
    path = write_shop(tmp_path, [order(0), order(3, customer_id="bob", quantity=9.0)], items=ITEMS)
    found = read_counts(loaded(path, federation), federation)
    assert cells(found) == {("mug", 8): 2.0}  # 59.5 and 56.5 days before validation, one unit of each shopper


def test_without_an_assortment_of_its_own_the_task_stays_at_home(tmp_path: Path) -> None:
    federation = agreement()
    without = loaded(write_shop(tmp_path / "a", [order(0)]), federation)
    write_shop(tmp_path / "b", [order(0)])
    export = {"source": "orders.parquet"}
    of_orders = loaded(write_merchant(tmp_path / "b", orders=export, items=export, split=SPLIT), federation)
    with_one = loaded(write_shop(tmp_path / "c", [order(0)], items=ITEMS), federation)
    assert private_tasks(without, federation) == private_tasks(of_orders, federation) == {"late"}
    assert private_tasks(with_one, federation) == {"late", "units"}
