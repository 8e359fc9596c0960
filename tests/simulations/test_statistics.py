import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from simulations.statistics import Interval, merchant_bootstrap, paired_bootstrap, verdict


def rng(seed=0):
    return np.random.default_rng(seed)


def bounds(interval):
    return [interval.estimate, interval.low, interval.high]


def test_the_estimate_is_the_difference_of_the_means():
    # means 4 and 2
    assert paired_bootstrap([3.0, 5.0], [1.0, 3.0], generator=rng()).estimate == 2.0


def test_a_difference_that_never_varies_has_an_interval_of_width_zero():
    interval = paired_bootstrap([3.0, 5.0, 9.0], [1.0, 3.0, 7.0], generator=rng())
    assert_allclose(bounds(interval), [2.0, 2.0, 2.0])


def test_two_rows_give_the_three_means_that_two_draws_can_have():
    # differences 0 and 1: two draws average to 0, 1/2 or 1 with chances 1/4, 1/2, 1/4
    assert bounds(paired_bootstrap([1.0, 2.0], [1.0, 1.0], generator=rng())) == [0.5, 0.0, 1.0]


def test_rmse_takes_the_root_after_the_mean():
    # sqrt((16 + 0) / 2) - sqrt((4 + 0) / 2) = 2 sqrt(2) - sqrt(2)
    interval = paired_bootstrap([16.0, 0.0], [4.0, 0.0], statistic="rmse", generator=rng())
    assert_allclose(interval.estimate, np.sqrt(2))
    assert_allclose([interval.low, interval.high], [0.0, 2.0])  # both draws are the same row


def test_rows_of_one_unit_come_and_go_together():
    # By rows the two differences +1 and -1 vary; as one unit of two they always cancel.
    first, second = [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]
    together = paired_bootstrap(first, second, units=["anna", "anna", "ben", "ben"], generator=rng())
    apart = paired_bootstrap(first, second, generator=rng())
    assert bounds(together) == [0.0, 0.0, 0.0]
    assert apart.low < 0 < apart.high


def test_a_unit_of_many_rows_weighs_as_many_rows():
    interval = paired_bootstrap([1.0, 1.0, 1.0, 0.0], np.zeros(4), units=[7, 7, 7, 8], generator=rng())
    assert interval.estimate == 0.75


def test_rows_without_a_value_on_one_side_are_left_out_on_both():
    interval = paired_bootstrap([3.0, np.nan, 5.0], [1.0, 100.0, 3.0], generator=rng())
    assert_allclose(bounds(interval), [2.0, 2.0, 2.0])


def test_a_single_unit_has_an_estimate_but_no_bounds():
    interval = paired_bootstrap([3.0, 5.0], [1.0, 1.0], units=[1, 1], generator=rng())
    assert interval.estimate == 3.0
    assert np.isnan([interval.low, interval.high]).all()
    assert verdict(interval) == "cannot tell"


def test_without_rows_nothing_can_be_told():
    interval = paired_bootstrap([], [], generator=rng())
    assert np.isnan(bounds(interval)).all()
    assert verdict(interval) == "cannot tell"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.3, "gains"), (-0.3, -0.1, "loses"), (-0.1, 0.3, "cannot tell"), (0.0, 0.0, "cannot tell")],
)
def test_the_verdict_is_the_sign_of_the_interval(low, high, said):
    assert verdict(Interval(estimate=(low + high) / 2, low=low, high=high)) == said


def test_merchants_count_once_each_and_those_without_a_gain_not_at_all():
    assert merchant_bootstrap([0.1, np.nan, 0.3], generator=rng()).estimate == pytest.approx(0.2)


@pytest.mark.parametrize("statistic", ["mean", "rmse"])
@given(seed=st.integers(0, 1000))
def test_swapping_the_methods_turns_the_sign(statistic, seed):
    first, second = rng(seed).random((2, 20))
    there = paired_bootstrap(first, second, statistic=statistic, generator=rng(1), resamples=200)
    back = paired_bootstrap(second, first, statistic=statistic, generator=rng(1), resamples=200)
    assert_allclose(bounds(back), [-there.estimate, -there.high, -there.low], atol=1e-12)


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100))
def test_another_currency_scales_the_interval(seed, scale):
    first, second = rng(seed).random((2, 20))
    one = paired_bootstrap(first, second, generator=rng(1), resamples=200)
    other = paired_bootstrap(scale * first, scale * second, generator=rng(1), resamples=200)
    assert_allclose(bounds(other), scale * np.array(bounds(one)), rtol=1e-9, atol=1e-9)


def test_the_same_generator_gives_the_same_interval():
    first, second = rng().random((2, 50))
    again = [paired_bootstrap(first, second, generator=rng(3)) for _ in range(2)]
    assert again[0] == again[1]


def test_many_units_are_drawn_in_chunks_without_changing_the_answer(monkeypatch):
    first, second = rng().random((2, 40))
    whole = paired_bootstrap(first, second, generator=rng(3))
    monkeypatch.setattr("simulations.statistics._CHUNK", 300)
    assert_allclose(bounds(paired_bootstrap(first, second, generator=rng(3))), bounds(whole), rtol=1e-12)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match=r"Expected one shape \(n,\), got \(2,\), \(3,\)"):
        paired_bootstrap([1.0, 2.0], [1.0, 2.0, 3.0], generator=rng())


def covers(seed):
    """Whether the interval covers the true difference 0.2, of 60 shoppers with three correlated rows each."""
    generator = rng(seed)
    difference = 0.2 + np.repeat(generator.normal(size=60), 3) + 0.3 * generator.normal(size=180)
    units = np.repeat(np.arange(60), 3)
    interval = paired_bootstrap(difference, np.zeros(180), units=units, generator=generator, resamples=500)
    return interval.low <= 0.2 <= interval.high


def test_nineteen_of_twenty_intervals_cover_the_truth():
    # 1000 independent intervals; at a true coverage of 0.94 the share leaves [0.92, 0.965] once in 100 runs.
    coverage = np.mean([covers(seed) for seed in range(1000)])
    assert 0.92 <= coverage <= 0.965


def test_more_confidence_makes_the_interval_wider():
    rows = np.random.default_rng(0).normal(size=100)
    narrow, wide = (
        paired_bootstrap(rows, np.zeros(100), generator=np.random.default_rng(1), confidence=confidence)
        for confidence in (0.95, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.estimate == narrow.estimate


def test_a_confidence_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        paired_bootstrap([1.0], [0.0], generator=np.random.default_rng(0), confidence=95.0)
