import numpy as np
import pytest

from server import averaging
from server.averaging import Average


def averaged(values):
    """Return the average after iterates with these values, one per round."""
    average = Average()
    for number, value in enumerate(values, start=1):
        average = averaging.include(
            average, {"w": np.array([value])}, round_number=number, rounds=len(values)
        )
    return average


def test_the_last_half_of_four_iterates_is_two():
    assert (averaged([100.0, 100.0, 1.0, 3.0]).count, averaged([100.0, 100.0, 1.0, 3.0]).mean["w"][0]) == (
        2,
        2.0,
    )


def test_an_odd_number_of_rounds_includes_the_middle():
    assert averaged([100.0, 1.0, 3.0]).mean["w"][0] == 2.0


def test_the_only_iterate_is_its_own_average():
    assert averaged([7.0]).mean["w"][0] == 7.0


def test_the_streamed_mean_is_the_mean():
    values = np.random.default_rng(0).normal(size=20).tolist()
    assert averaged(values).mean["w"][0] == pytest.approx(np.mean(values[10:]), rel=1e-14)


def test_the_average_does_not_share_memory_with_the_iterate():
    iterate = {"w": np.array([1.0])}
    average = averaging.include(Average(), iterate, round_number=1, rounds=1)
    iterate["w"] += 1
    assert average.mean["w"][0] == 1.0
