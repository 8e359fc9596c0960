"""Gains in percent, and when their bounds may be read."""

import numpy as np
import pytest

from simulations.join.gains import LEAST_SHOPPERS, gain, in_percent
from simulations.scores import Key
from simulations.statistics import Interval
from tests.simulations.join.test_contributions import Rows

KEY = Key("acme", "late", "test")


def measured(shoppers: int, *, comparisons: int = 1):
    losses = np.random.default_rng(0).gamma(2.0, size=shoppers)
    return gain(losses, 0.8 * losses, Rows(list(range(shoppers))), KEY, comparisons=comparisons, seed=0)


def test_a_gain_is_in_percent_of_what_was_before():
    assert measured(50).percent == pytest.approx(20.0)


def test_too_few_shoppers_have_no_bounds():
    few, enough = measured(LEAST_SHOPPERS - 1), measured(LEAST_SHOPPERS)
    assert (few.low, few.high, few.verdict) == (None, None, "cannot tell")
    assert enough.verdict == "gains"


def test_more_comparisons_need_wider_bounds():
    one, seven = measured(50), measured(50, comparisons=7)
    assert seven.low < one.low < one.high < seven.high


def test_of_zero_there_is_no_percentage():
    found = in_percent(Interval(estimate=0.1, low=0.05, high=0.2), 0.0)
    assert (found.percent, found.low, found.high) == (None, None, None)
