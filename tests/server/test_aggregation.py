import numpy as np
import pytest

from server import aggregation
from server.aggregation import WeightedSum
from tests.server.fakes import arrays

SHAPES = {"w": (3,)}


def test_the_mean_update_weighs_each_reply():
    start = arrays(1.0)
    total = aggregation.add(WeightedSum(), arrays(2.0), start, weight=1.0, names=["w"])
    total = aggregation.add(total, arrays(6.0), start, weight=3.0, names=["w"])
    # (1 * (2 - 1) + 3 * (6 - 1)) / (1 + 3) = 16 / 4
    assert aggregation.mean_update(total, SHAPES)["w"].tolist() == [4.0, 4.0, 4.0]


def test_an_array_is_averaged_over_those_that_it_was_added_for():
    start = arrays(0.0, names=("bottom", "late"))
    both, one = arrays(1.0, names=("bottom", "late")), arrays(5.0, names=("bottom", "late"))
    total = aggregation.add(WeightedSum(), both, start, weight=1.0, names=["bottom", "late"])
    total = aggregation.add(total, one, start, weight=1.0, names=["bottom"])
    means = aggregation.mean_update(total, {"bottom": (3,), "late": (3,)})
    assert (means["bottom"][0], means["late"][0]) == (3.0, 1.0)


def test_nothing_added_gives_no_update():
    assert aggregation.mean_update(WeightedSum(), SHAPES) == {}


def test_updates_too_small_for_float32_are_not_lost():
    start, tiny = arrays(1.0), arrays(np.nextafter(np.float32(1), np.float32(2)))
    total = aggregation.add(WeightedSum(), tiny, start, weight=1e-6, names=["w"])
    total = aggregation.add(total, start, start, weight=1.0, names=["w"])
    assert aggregation.mean_update(total, SHAPES)["w"][0] == pytest.approx(
        2**-23 * 1e-6 / (1 + 1e-6), rel=1e-12
    )


def test_an_array_longer_than_a_block_is_added_whole():
    size = 2 * aggregation._BLOCK + 5
    start = {"w": np.zeros((size,), np.float32)}
    values = {"w": np.arange(size, dtype=np.float32)}
    total = aggregation.add(WeightedSum(), values, start, weight=2.0, names=["w"])
    np.testing.assert_array_equal(aggregation.mean_update(total, {"w": (size,)})["w"], values["w"])


def test_shapes_survive_and_a_scalar_is_an_array():
    start = {"matrix": np.zeros((2, 3), np.float32), "scalar": np.zeros((), np.float32)}
    values = {"matrix": np.ones((2, 3), np.float32, order="F"), "scalar": np.full((), 4, np.float32)}
    total = aggregation.add(WeightedSum(), values, start, weight=1.0, names=list(start))
    means = aggregation.mean_update(total, {"matrix": (2, 3), "scalar": ()})
    assert means["matrix"].shape == (2, 3)
    assert means["scalar"] == 4.0


def test_a_reply_is_added_in_place():
    start = arrays(0.0)
    total = aggregation.add(WeightedSum(), arrays(1.0), start, weight=1.0, names=["w"])
    before = total.totals["w"]
    aggregation.add(total, arrays(1.0), start, weight=1.0, names=["w"])
    assert total.totals["w"] is before
