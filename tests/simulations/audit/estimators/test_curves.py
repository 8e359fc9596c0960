import numpy as np
import pytest
from scipy.stats import norm

from shared_model.privacy import accounting
from shared_model.privacy.events import PrivacyEvent
from simulations.audit.estimators.curves import curve_of, gaussian_delta

SAMPLED = PrivacyEvent(sampling_rate=0.1, noise_multiplier=1.2, count=20)


def test_full_batches_compose_to_one_gaussian():
    # mu^2 = 9 / 3^2 = 1, and delta(1) of mu = 1 is .1269 (Balle and Wang 2018, figure 1).
    curve = curve_of([PrivacyEvent(sampling_rate=1.0, noise_multiplier=3.0, count=9)])
    assert np.interp(1.0, curve.epsilons, curve.deltas) == pytest.approx(0.1269, abs=1e-4)


@pytest.mark.parametrize("y", [1e-6, 0.01, 0.5, 0.99, 0.999999])
def test_the_least_probability_is_that_of_the_gaussian_and_never_above_it(y):
    exact = norm.cdf(norm.ppf(y) - 1.0)
    found = curve_of([PrivacyEvent(sampling_rate=1.0, noise_multiplier=1.0)]).least(y)
    assert exact * (1 - 2e-3) <= found <= exact * (1 + 1e-9)


def test_a_sampled_profile_agrees_with_the_accountant():
    curve = curve_of([SAMPLED])
    epsilon = accounting.epsilon([SAMPLED], 1e-5)
    delta = np.exp(np.interp(epsilon, curve.epsilons, np.log(curve.deltas)))
    assert delta == pytest.approx(1e-5, rel=0.05)


def test_a_profile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one event"):
        curve_of([])


def test_delta_falls_with_epsilon():
    assert (np.diff(gaussian_delta(2.0, np.linspace(0, 10, 50))) < 0).all()
