"""Standard errors and false discoveries, by hand and against the bootstrap."""

import numpy as np
import pytest

from simulations.significance import Difference, difference, discoveries, verdicts
from simulations.statistics import paired_bootstrap


def test_a_difference_of_means_is_by_hand() -> None:
    # rows differ by 1 and 3, each of its own shopper: mean 2, error sqrt(2/1 * (0.25 + 0.25)) = 1
    found = difference([2.0, 4.0], [1.0, 1.0], [0, 1])
    assert (found.estimate, found.standard_error, found.shoppers) == (2.0, 1.0, 2)


def test_rows_of_one_shopper_count_as_one() -> None:
    alone = difference([2.0, 4.0], [1.0, 1.0], [0, 1])
    doubled = difference([2.0, 2.0, 4.0, 4.0], np.ones(4), [0, 0, 1, 1])
    assert doubled == alone


@pytest.mark.parametrize("statistic", ["mean", "rmse"])
def test_the_error_is_that_of_the_bootstrap(statistic: str) -> None:
    source = np.random.default_rng(0)
    owners = source.integers(0, 200, 600)
    first = source.gamma(2.0, size=600) + 0.3 * source.normal(size=200)[owners] ** 2
    second = first * source.uniform(0.6, 1.2, 600)
    found = difference(first, second, owners, statistic=statistic)
    drawn = paired_bootstrap(first, second, generator=source, statistic=statistic, units=owners)
    assert found.estimate == pytest.approx(drawn.estimate)
    assert 2 * 1.96 * found.standard_error == pytest.approx(drawn.high - drawn.low, rel=0.1)


def test_without_rows_nothing_is_known() -> None:
    found = difference([], [], [])
    assert np.isnan(found.estimate)
    assert found.p_value == 1.0


def test_one_shopper_proves_nothing() -> None:
    assert difference([2.0, 2.0], [1.0, 1.0], [5, 5]).p_value == 1.0


def test_two_methods_that_say_the_same_do_not_differ() -> None:
    assert difference([2.0, 3.0], [2.0, 3.0], [0, 1]).p_value == 1.0


def test_discoveries_follow_the_procedure() -> None:
    # m = 4 at 5 %: bounds .0125, .025, .0375, .05; the third smallest passes, so all below it do
    assert discoveries([0.03, 0.026, 0.9, 0.001]).tolist() == [True, True, False, True]


def test_no_comparisons_make_no_discoveries() -> None:
    assert discoveries([]).tolist() == []


def test_a_map_of_nothing_rarely_says_anything() -> None:
    """Of 400 maps of 20 true zeros 5 % say anything on average; over 8 % do by chance in .5 % of runs."""
    source = np.random.default_rng(1)
    drawn = source.normal(size=(400, 20))
    maps = [[Difference(estimate=z, standard_error=1.0, shoppers=10**6) for z in row] for row in drawn]
    assert sum(any(v != "cannot tell" for v in verdicts(one)) for one in maps) <= 32


def test_a_loss_is_called_one() -> None:
    sure = Difference(estimate=-1.0, standard_error=0.1, shoppers=50)
    assert verdicts([sure]) == ["loses"]
