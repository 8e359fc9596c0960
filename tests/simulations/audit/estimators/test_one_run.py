import numpy as np
import pytest

from shared_model.privacy.events import PrivacyEvent
from simulations.audit.estimators.one_run import one_run, outcomes, p_value
from simulations.audit.estimators.one_run_fdp import one_run_fdp
from tests.simulations.audit.estimators.releases import releases

FULL = PrivacyEvent(sampling_rate=1.0, noise_multiplier=2.86, count=20)
"""Epsilon 8.0 at delta 1e-5."""


def test_ten_right_guesses_of_ten_without_privacy_loss_are_ten_fair_coins():
    assert p_value(10, 10, 10, epsilon=0.0, delta=0.0) == pytest.approx(2**-10)


def test_delta_makes_right_guesses_more_likely():
    assert p_value(10, 10, 9, epsilon=1.0, delta=1e-3) > p_value(10, 10, 9, epsilon=1.0, delta=0.0)


def test_no_right_guess_refutes_nothing():
    assert p_value(10, 10, 0, epsilon=0.0, delta=0.0) == 1.0


def test_guesses_are_counted_from_both_ends():
    scores = np.arange(40.0)
    assert outcomes(scores, scores >= 20) == [(2 * k, 2 * k) for k in (16, 16, 17, 17, 18, 18, 19, 20)]


def test_the_bounds_lie_below_the_claim_and_the_profile_gives_the_better_one():
    seen = releases(FULL, canaries=3000, seed=0)
    scores = seen.scores.sum(0)
    plain = one_run(scores, seen.inserted, delta=1e-5)
    profile = one_run_fdp(scores, seen.inserted, [FULL], delta=1e-5)
    assert 0.3 * 8 < plain < profile < 8
    assert profile > 0.45 * 8


def test_half_the_noise_is_more_than_the_claim_allows():
    seen = releases(FULL, canaries=3000, seed=1, noise=0.3)
    assert one_run_fdp(seen.scores.sum(0), seen.inserted, [FULL], delta=1e-5) > 8


def test_scores_that_know_nothing_bound_nothing():
    generator = np.random.default_rng(0)
    scores, present = generator.normal(size=1000), generator.random(1000) < 0.5
    assert one_run(scores, present, delta=1e-5) == 0.0
    assert one_run_fdp(scores, present, [FULL], delta=1e-5) < 0.5
