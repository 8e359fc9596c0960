import numpy as np
import pytest

from shared_model.privacy import accounting
from shared_model.privacy.events import PrivacyEvent
from simulations.audit.estimators.step import separation, step_bound
from tests.simulations.audit.estimators.releases import releases

SAMPLED = PrivacyEvent(sampling_rate=0.1, noise_multiplier=1.0, count=100)
FULL = PrivacyEvent(sampling_rate=1.0, noise_multiplier=4.0, count=60)


def _bound(event, **changes):
    seen = releases(event, canaries=4000, seed=0, **changes)
    found = separation(seen.scores, seen.entered)
    return step_bound(found, [event], multiplier=event.noise_multiplier, delta=1e-5)


def test_an_honest_step_is_bounded_close_below_its_claim():
    claimed = accounting.epsilon([SAMPLED], 1e-5)
    assert 0.95 * claimed < _bound(SAMPLED) < claimed


def test_five_per_cent_less_noise_is_refuted():
    assert _bound(FULL, noise=0.95) > accounting.epsilon([FULL], 1e-5)


def test_noise_and_sensitivity_lie_in_their_intervals():
    seen = releases(SAMPLED, canaries=1000, seed=2, noise=3.0)
    found = separation(seen.scores, seen.entered)
    assert found.noise[1] < 3.0 < found.noise[2]
    assert found.sensitivity[1] < 1.0 < found.sensitivity[2]


def test_the_lower_bound_is_too_high_in_one_of_twenty():
    # 400 draws at an error of 5 %: 20 expected, 35 or more has a probability below 1e-3.
    generator = np.random.default_rng(0)
    present = generator.random((400, 2100)) < 0.3
    scores = generator.normal(size=present.shape) + 0.4 * present
    lows = np.array([separation(x, b).ratio_low for x, b in zip(scores, present, strict=True)])
    assert 5 <= (lows > 0.4).sum() < 35


def test_equal_groups_bound_nothing():
    scores = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0])
    found = separation(scores, np.array([True, True, True, False, False, False]))
    assert step_bound(found, [SAMPLED], multiplier=1.0, delta=1e-5) == 0.0


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="at least two"):
        separation(np.zeros(3), np.array([True, False, False]))
