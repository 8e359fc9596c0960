"""Sums over blocks of days: what goes into them, the noise on them, and the columns they become."""

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from client.data.blocks import SENSITIVITY, block_sums
from client.data.private_rows import private_rows
from client.data.rows.trailing import with_trailing
from client.data.shop import load
from client.data.statistics import (
    Statistics,
    exact_statistics,
    load_statistics,
    noised,
    save_statistics,
    statistics_file,
)
from shared_model.errors import StateError
from shared_model.protocol import Instruction
from tests.client.data.test_private_rows import FEATURES, LATE, private, ready, table
from tests.client.exports import SPLIT, after, contract, loaded, order, write_shop

DAY_0 = 584
"""The block of 2024-01-01, which is 8766 days after 2000-01-01; 8766 / 15 = 584.4, so it began on day -6."""


class Ones:
    """Noise of one standard deviation, exactly."""

    def normal_(self, out: torch.Tensor) -> torch.Tensor:
        return out.fill_(1.0)


class Seeded:
    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal_(self, out: torch.Tensor) -> torch.Tensor:
        return out.normal_(generator=self._generator)


def blocks(**found: float) -> Statistics:
    """Ten blocks from the origin on that all hold the same numbers."""
    sums = {name: np.full(10, found.get(name, 0.0)) for name in ("orders", "deliveries", "reviews")}
    return Statistics(**sums, noise_std=found.get("noise_std", 0.0))


def at(*days: float) -> np.ndarray:
    return np.datetime64("2000-01-01", "us") + (np.array(days) * 86_400e6).astype("timedelta64[us]")


def sums(folder: Path, orders: list[dict[str, object]]) -> dict[str, np.ndarray]:
    shop = load(loaded(write_shop(folder, orders), contract())).shop
    return block_sums(shop.orders, datetime(2024, 3, 1, tzinfo=UTC))


# --- what goes in -------------------------------------------------------------------------------------


def test_of_each_shopper_only_the_first_order_counts_once_in_each_series(tmp_path: Path) -> None:
    found = sums(
        tmp_path,
        [
            order(0, review_score=1.0, review_ts=after(20)),  # arrives on day 3
            order(30, review_score=1.0, review_ts=after(40)),
            order(1, customer_id="bob", delivered_ts=None),
        ],
    )
    slow = math.log1p(3) - 2.5  # -1.11, cut to -1
    assert slow < -1
    assert found["orders"][DAY_0 : DAY_0 + 3].tolist() == [2.0, 0.0, 0.0]
    assert found["deliveries"][DAY_0 : DAY_0 + 3].tolist() == [-1.0, 0.0, 0.0]
    assert_allclose(found["reviews"][DAY_0 : DAY_0 + 3], [0.0, 0.78, 0.0])


def test_guests_count_one_by_one(tmp_path: Path) -> None:
    found = sums(tmp_path, [order(n, customer_id=None) for n in range(3)])
    assert found["orders"].sum() == 3.0


def test_there_are_as_many_blocks_as_are_over_by_a_public_date(tmp_path: Path) -> None:
    found = sums(tmp_path, [order(0), order(50, customer_id="bob"), order(200, customer_id="cid")])
    # 2024-03-01 is day 8826 from the origin, and 8826 / 15 = 588.4; day 50 lies in block 587.8.
    assert {len(values) for values in found.values()} == {588}
    assert found["orders"].sum() == 2.0


def test_the_sensitivity_is_that_of_one_number_in_each_series() -> None:
    assert math.sqrt(1 + 1 + 0.78**2) == pytest.approx(SENSITIVITY)


# --- noise --------------------------------------------------------------------------------------------


def test_every_number_gets_noise_of_multiplier_times_sensitivity() -> None:
    found = noised(blocks(orders=5.0), 2.0, Ones())
    assert found.noise_std == 2.0 * SENSITIVITY
    assert_allclose(found.orders, 5.0 + 2.0 * SENSITIVITY, rtol=1e-3)
    assert_allclose(found.reviews, 2.0 * SENSITIVITY, rtol=1e-3)


def test_noise_has_the_standard_deviation_that_is_claimed() -> None:
    # 30,000 draws: the sample deviation is within 2 % of the claim but in 1 of 10^6 seeds.
    empty = Statistics(orders=np.zeros(10_000), deliveries=np.zeros(10_000), reviews=np.zeros(10_000))
    found = noised(empty, 1.0, Seeded(0))
    spread = np.concatenate([found.orders, found.deliveries, found.reviews]).std()
    assert spread == pytest.approx(SENSITIVITY, rel=0.02)


def test_noised_sums_lie_on_a_public_grid() -> None:
    found = noised(blocks(orders=math.pi), 1.0, Seeded(1))
    steps = found.orders / (SENSITIVITY * 2.0**-12)
    assert_allclose(steps, np.round(steps), atol=1e-6)


@pytest.mark.parametrize("multiplier", [0.0, -1.0])
def test_no_noise_at_all_is_refused(multiplier: float) -> None:
    with pytest.raises(ValueError, match="Expected exact sums and noise"):
        noised(blocks(), multiplier, Ones())


def test_what_has_noise_already_is_not_told_again() -> None:
    with pytest.raises(ValueError, match="Expected exact sums"):
        noised(blocks(noise_std=1.0), 1.0, Ones())


# --- columns ------------------------------------------------------------------------------------------


def test_columns_are_shrunk_sums_of_the_blocks_before() -> None:
    found = blocks(orders=2.0, deliveries=0.5, reviews=0.3).columns_at(at(140))  # in block 9: 8, 7, 6 ...
    assert_allclose(found["trailing_deliveries"], [6.0])  # orders of blocks 5, 6, 7
    assert_allclose(found["trailing_delivery_days"], [2.5 + 1.5 / (6 + 3)])
    assert_allclose(found["trailing_bad_reviews"], [0.22 + 1.8 / (12 + 10)])
    assert_allclose(found["trailing_orders_28d"], [4.0 * 28 / 30])


def test_the_block_of_the_moment_itself_is_never_read() -> None:
    one = Statistics(orders=np.eye(10)[5], deliveries=np.eye(10)[5], reviews=np.eye(10)[5])
    inside, after_it = one.columns_at(at(75, 89.99)), one.columns_at(at(90))  # block 5 is [75, 90)
    assert inside["trailing_orders_28d"].tolist() == [0.0, 0.0]
    assert inside["trailing_delivery_days"].tolist() == [2.5, 2.5]
    assert inside["trailing_bad_reviews"].tolist() == [0.22, 0.22]
    assert after_it["trailing_orders_28d"].tolist() == [28 / 30]


def test_before_the_first_block_and_without_any_a_shop_is_a_usual_one() -> None:
    assert blocks(orders=9.0).columns_at(at(-3, 0))["trailing_orders_28d"].tolist() == [0.0, 0.0]
    none = Statistics(orders=np.zeros(0), deliveries=np.zeros(0), reviews=np.zeros(0))
    assert none.columns_at(at(400))["trailing_delivery_days"].tolist() == [2.5]


def test_more_noise_shrinks_more_and_counts_stay_above_0() -> None:
    found = blocks(orders=-1.0, deliveries=1.0, noise_std=4.0).columns_at(at(140))
    assert_allclose(found["trailing_delivery_days"], [2.5 + 3 / (0 + 3 + 8)])
    assert found["trailing_deliveries"].tolist() == [0.0]


def test_a_steady_shop_looks_as_in_the_exact_columns(tmp_path: Path) -> None:
    # Four orders a day for 300 days, delivered after 11 days: log1p(11) = 2.485; one review in five is bad.
    orders = [
        order(
            n / 4,
            customer_id=f"c{n}",
            delivered_ts=after(n / 4 + 11),
            review_score=1.0 if n % 5 == 0 else 5.0,
        )
        for n in range(1200)
    ]
    shop = load(loaded(write_shop(tmp_path, orders), contract())).shop
    noon = datetime(2024, 10, 1, tzinfo=UTC)
    exact = with_trailing(shop, pl.DataFrame({"time": [noon]}).cast(pl.Datetime("us", "UTC"))).row(
        0, named=True
    )
    sums = block_sums(shop.orders, datetime(2024, 10, 15, tzinfo=UTC))
    found = Statistics(**sums).columns_at(np.array(["2024-10-01"], "datetime64[us]"))
    assert_allclose(found["trailing_delivery_days"], exact["trailing_delivery_days"], atol=0.01)
    assert_allclose(found["trailing_deliveries"], exact["trailing_deliveries"], rtol=0.05)
    assert_allclose(found["trailing_bad_reviews"], exact["trailing_bad_reviews"], atol=0.01)
    assert_allclose(found["trailing_orders_28d"], exact["trailing_orders_28d"], rtol=0.05)


def test_rows_read_the_noised_columns_on_the_contracts_scale(tmp_path: Path) -> None:
    scaled = {
        "kind": "numeric",
        "column": "trailing_orders_28d",
        "transform": "log1p",
        "center": 1.0,
        "scale": 2.0,
    }
    federation = private(LATE, {"lately": scaled, "price": FEATURES["price"]})
    config = loaded(write_shop(tmp_path, [order(30)]), federation)
    steady = Statistics(orders=np.full(600, 15.0), deliveries=np.zeros(600), reviews=np.zeros(600))
    rows = private_rows(config, federation, steady)
    assert_allclose(rows.batch(torch.arange(1)).numeric, [[(math.log1p(28.0) - 1) / 2, 10.0]], rtol=1e-6)


def test_the_exact_sums_of_a_shop_are_those_of_its_own_orders(tmp_path: Path) -> None:
    config = loaded(write_shop(tmp_path, [order(0), order(1)]), private())
    assert exact_statistics(config, private()).orders.sum() == 1.0


def test_a_ready_table_has_nothing_to_tell(tmp_path: Path) -> None:
    features = {"price": FEATURES["price"], "lately": FEATURES["lately"]}
    federation = private({"bought": {"kind": "binary"}}, features)
    config = loaded(ready(tmp_path, table(), time="day", unit="who", split=SPLIT), federation)
    assert noised(exact_statistics(config, federation), 1.0, Seeded(0)).orders.shape == (0,)


# --- on the disk --------------------------------------------------------------------------------------


def test_what_was_stored_is_read_again_to_the_bit(tmp_path: Path) -> None:
    told = noised(blocks(orders=5.0), 0.3, Seeded(2))
    save_statistics(tmp_path / "s.safetensors", told)
    found = load_statistics(tmp_path / "s.safetensors")
    assert found is not None
    assert found.noise_std == told.noise_std
    assert_array_equal(found.orders, told.orders)
    assert_array_equal(found.reviews, told.reviews)


def test_nothing_stored_is_none_and_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    assert load_statistics(tmp_path / "s.safetensors") is None
    (tmp_path / "s.safetensors").write_bytes(b"half")
    with pytest.raises(StateError, match="damaged"):
        load_statistics(tmp_path / "s.safetensors")


def test_each_training_has_a_file_of_its_own(tmp_path: Path) -> None:
    spring = Instruction(fingerprint="f", lineage="../spring", round=1, digest="d")
    autumn = Instruction(fingerprint="f", lineage="autumn", round=1, digest="d")
    assert statistics_file(tmp_path, spring) != statistics_file(tmp_path, autumn)
    assert statistics_file(tmp_path, spring).parent == tmp_path / "statistics"
