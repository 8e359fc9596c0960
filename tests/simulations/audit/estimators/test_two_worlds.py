import numpy as np
import pytest

from simulations.audit.estimators.two_worlds import two_worlds


def test_worlds_that_never_overlap_are_bounded_by_the_number_of_runs():
    # 500 judged runs each, no error: both rates stop at (.025)^(1/500), so log(.9927 / .0073) = 4.91.
    assert two_worlds(np.zeros(1000), np.ones(1000), delta=0.0) == pytest.approx(4.91, abs=0.01)


def test_a_target_that_lowers_the_score_is_found_too():
    assert two_worlds(np.ones(1000), np.zeros(1000), delta=0.0) == pytest.approx(4.91, abs=0.01)


def test_equal_worlds_bound_nothing():
    generator = np.random.default_rng(0)
    assert two_worlds(generator.normal(size=2000), generator.normal(size=2000), delta=1e-5) == 0.0


def test_the_bound_of_a_gaussian_release_lies_below_its_epsilon():
    # mu = 2 is epsilon 9.93 at delta 1e-5.
    generator = np.random.default_rng(1)
    found = two_worlds(generator.normal(size=4000), generator.normal(size=4000) + 2, delta=1e-5)
    assert 2 < found < 9.93


def test_three_runs_are_too_few():
    with pytest.raises(ValueError, match="four runs"):
        two_worlds(np.zeros(3), np.ones(3), delta=0.0)
