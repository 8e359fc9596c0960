import numpy as np
import pytest

from server import aggregation
from server.aggregation import Update, WeightedSum
from shared_model.precision import PRECISIONS
from tests.server.fakes import arrays

SHAPES = {"w": (3,)}


def update(values, start, kind="float32"):
    return Update(values, start, PRECISIONS[kind])


def test_the_mean_update_weighs_each_reply():
    start = arrays(1.0)
    total = aggregation.add(WeightedSum(), update(arrays(2.0), start), weight=1.0, names=["w"])
    total = aggregation.add(total, update(arrays(6.0), start), weight=3.0, names=["w"])
    # (1 * (2 - 1) + 3 * (6 - 1)) / (1 + 3) = 16 / 4
    assert aggregation.mean_update(total, SHAPES)["w"].tolist() == [4.0, 4.0, 4.0]


def test_an_array_is_averaged_over_those_that_it_was_added_for():
    start = arrays(0.0, names=("bottom", "late"))
    both, one = arrays(1.0, names=("bottom", "late")), arrays(5.0, names=("bottom", "late"))
    total = aggregation.add(WeightedSum(), update(both, start), weight=1.0, names=["bottom", "late"])
    total = aggregation.add(total, update(one, start), weight=1.0, names=["bottom"])
    means = aggregation.mean_update(total, {"bottom": (3,), "late": (3,)})
    assert (means["bottom"][0], means["late"][0]) == (3.0, 1.0)


def test_a_change_in_half_the_bytes_is_added_as_it_is():
    start = {"w": np.full(3, 100.0, np.float16)}
    sent = {"w": np.array([0.0, 0.5, -0.25], np.float16)}
    total = aggregation.add(WeightedSum(), update(sent, start, "float16"), weight=1.0, names=["w"])
    assert aggregation.mean_update(total, SHAPES)["w"].tolist() == [0.0, 0.5, -0.25]


def test_whole_steps_are_added_with_the_length_of_each_arrays_step():
    start = {name: np.zeros(2, np.float16) for name in ("late", "units")}
    sent = {
        "late": np.array([1, -127], np.int8),
        "units": np.array([2, 0], np.int8),
        "scales": np.array([0.5, 4.0], np.float32),
    }
    total = aggregation.add(WeightedSum(), update(sent, start, "int8"), weight=1.0, names=["late", "units"])
    means = aggregation.mean_update(total, {"late": (2,), "units": (2,)})
    assert (means["late"].tolist(), means["units"].tolist()) == ([0.5, -63.5], [8.0, 0.0])


def table(changed_rows, value=1.0, rows=2000):
    found = np.zeros((rows, 2), np.float32)
    found[:changed_rows] = value
    return {"w": found}


def test_a_table_of_which_replies_change_few_rows_is_added_by_rows():
    start = table(0)
    total = aggregation.add(WeightedSum(), update(table(3), start), weight=2.0, names=["w"], tables=["w"])
    total = aggregation.add(total, update(table(1, 4.0), start), weight=2.0, names=["w"], tables=["w"])
    assert (set(total.by_rows), set(total.totals)) == ({"w"}, set())
    mean = aggregation.mean_update(total, {"w": (2000, 2)})["w"]
    assert mean[:4, 0].tolist() == [2.5, 0.5, 0.5, 0.0]  # (1 + 4) / 2, 1 / 2


def test_a_table_of_which_one_reply_changes_many_rows_is_added_whole():
    start = table(0)
    total = WeightedSum()
    for changed in (3, 2000, 3):
        total = aggregation.add(total, update(table(changed), start), weight=1.0, names=["w"], tables=["w"])
    assert (set(total.by_rows), set(total.totals)) == (set(), {"w"})
    mean = aggregation.mean_update(total, {"w": (2000, 2)})["w"]
    assert (mean[0, 0], mean[5, 0]) == (1.0, 1 / 3)


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_rows_are_found_in_changes_too(kind):
    sent = {"w": table(3)["w"].astype(PRECISIONS[kind].up), "scales": np.ones(1, np.float32)}
    start = {"w": table(0)["w"].astype(np.float16)}
    total = aggregation.add(WeightedSum(), update(sent, start, kind), weight=1.0, names=["w"], tables=["w"])
    assert aggregation.mean_update(total, {"w": (2000, 2)})["w"].sum() == 6.0
    assert total.totals == {}


def test_nothing_added_gives_no_update():
    assert aggregation.mean_update(WeightedSum(), SHAPES) == {}


def test_updates_too_small_for_float32_are_not_lost():
    start, tiny = arrays(1.0), arrays(np.nextafter(np.float32(1), np.float32(2)))
    total = aggregation.add(WeightedSum(), update(tiny, start), weight=1e-6, names=["w"])
    total = aggregation.add(total, update(start, start), weight=1.0, names=["w"])
    assert aggregation.mean_update(total, SHAPES)["w"][0] == pytest.approx(
        2**-23 * 1e-6 / (1 + 1e-6), rel=1e-12
    )


def test_an_array_longer_than_a_block_is_added_whole():
    size = 2 * aggregation._BLOCK + 5
    start = {"w": np.zeros((size,), np.float32)}
    values = {"w": np.arange(size, dtype=np.float32)}
    total = aggregation.add(WeightedSum(), update(values, start), weight=2.0, names=["w"])
    np.testing.assert_array_equal(aggregation.mean_update(total, {"w": (size,)})["w"], values["w"])


def test_shapes_survive_and_a_scalar_is_an_array():
    start = {"matrix": np.zeros((2, 3), np.float32), "scalar": np.zeros((), np.float32)}
    values = {"matrix": np.ones((2, 3), np.float32, order="F"), "scalar": np.full((), 4, np.float32)}
    total = aggregation.add(WeightedSum(), update(values, start), weight=1.0, names=list(start))
    means = aggregation.mean_update(total, {"matrix": (2, 3), "scalar": ()})
    assert means["matrix"].shape == (2, 3)
    assert means["scalar"] == 4.0


def test_a_reply_is_added_in_place():
    start = arrays(0.0)
    total = aggregation.add(WeightedSum(), update(arrays(1.0), start), weight=1.0, names=["w"])
    before = total.totals["w"]
    aggregation.add(total, update(arrays(1.0), start), weight=1.0, names=["w"])
    assert total.totals["w"] is before
