"""Evidence adds up over shoppers, days and adoptions, and no row is counted twice."""

import math

import numpy as np
import pytest
import torch

from client.evidence import HALF_LIFE_DAYS, KEPT_DAYS, Tally, before, faded, of_days, tally

BETTER = torch.tensor([3.0, 3.0, 1.0, 1.0]).double()


def days(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype="datetime64[D]").astype("datetime64[us]")


def test_rows_of_one_shopper_are_one_piece_of_evidence() -> None:
    # four shoppers: sqrt(4/3) / 2; two shoppers with two equal rows each: sums +2 and -2, sqrt(8 * 2) / 4
    assert tally(BETTER, torch.arange(4)).standard_error == pytest.approx((4 / 3) ** 0.5 / 2)
    assert tally(BETTER, torch.tensor([7, 7, 9, 9])).standard_error == pytest.approx(1.0)


def test_the_sums_of_two_parts_are_the_sums_of_the_whole() -> None:
    parts = tally(BETTER[:2], torch.tensor([0, 1])).plus(tally(BETTER[2:], torch.tensor([2, 3])))
    assert parts == tally(BETTER, torch.arange(4))


def test_rows_that_count_half_leave_the_mean_and_widen_the_error() -> None:
    whole = tally(BETTER, torch.arange(4))
    half = Tally().plus(whole, 0.5)
    assert half.mean == whole.mean
    # sum of squares / rows^2 doubles; G / (G - 1) goes from 4/3 to 2
    assert half.standard_error == pytest.approx(whole.standard_error * (2 * 2 / (4 / 3)) ** 0.5)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_shoppers_have_no_standard_error(rows: int) -> None:
    assert math.isnan(tally(BETTER[:rows], torch.arange(rows)).standard_error)


def test_what_is_kept_are_the_sums_of_every_day() -> None:
    kept = of_days(BETTER, torch.tensor([0, 0, 0, 1]), days(5, 5, 6, 6))
    assert kept.tolist() == [[5, 2, 1, 6, 36, 12, 4], [6, 2, 2, 2, 2, 2, 2]]


def test_days_that_are_judged_again_are_not_added() -> None:
    kept = of_days(BETTER, torch.arange(4), days(1, 2, 3, 4))
    assert before(kept, days(3, 9))[:, 0].tolist() == [1, 2]


def test_the_weight_of_what_is_kept_halves_with_time() -> None:
    kept = of_days(BETTER[:1], torch.arange(1), days(0))
    assert faded(kept, days(int(HALF_LIFE_DAYS))).rows == pytest.approx(0.5)


def test_what_is_too_old_is_dropped() -> None:
    kept = of_days(BETTER[:1], torch.arange(1), days(0))
    assert len(before(kept, days(KEPT_DAYS))) == 1
    assert len(before(kept, days(KEPT_DAYS + 1))) == 0


def test_rows_without_a_time_keep_nothing_and_add_nothing() -> None:
    never = np.array(["NaT"], dtype="datetime64[us]")
    kept = of_days(BETTER, torch.arange(4), days(1, 2, 3, 4))
    assert of_days(BETTER[:1], torch.arange(1), never).shape == (0, 7)
    assert len(before(kept, never)) == 0


def test_without_rows_what_is_kept_stays_and_says_nothing() -> None:
    kept = of_days(BETTER, torch.arange(4), days(1, 2, 3, 4))
    assert torch.equal(before(kept, days()), kept)
    assert faded(kept, days()).rows == 0
