"""A plan gets the least noise that keeps it within its budget, and never less."""

import pytest

from shared_model.privacy.accounting import epsilon as cost
from shared_model.privacy.calibration import calibrated
from shared_model.privacy.events import PrivacyEvent, scaled

EVERYBODY = (
    PrivacyEvent(sampling_rate=1.0, noise_multiplier=1.0, count=30),
    PrivacyEvent(sampling_rate=1.0, noise_multiplier=4.0),
)
SAMPLED = (PrivacyEvent(sampling_rate=0.05, noise_multiplier=1.0, count=400),)
MIXED = (*SAMPLED, PrivacyEvent(sampling_rate=1.0, noise_multiplier=8.0))


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
def test_a_plan_with_everybody_spends_its_budget_to_a_billionth_and_no_more(epsilon):
    z = calibrated(EVERYBODY, epsilon=epsilon, delta=1e-6)
    assert epsilon * (1 - 1e-8) < cost(scaled(EVERYBODY, z), 1e-6) <= epsilon


@pytest.mark.parametrize(("plan", "epsilon"), [(SAMPLED, 1.0), (MIXED, 2.0)])
def test_a_sampled_plan_keeps_its_budget_and_a_little_less_noise_would_not(plan, epsilon):
    z = calibrated(plan, epsilon=epsilon, delta=1e-6)
    assert cost(scaled(plan, z), 1e-6) <= epsilon < cost(scaled(plan, z * (1 - 2e-4)), 1e-6)


@pytest.mark.parametrize(("epsilon", "published"), [(1.0, 4.38), (3.0, 1.78)])
def test_the_noise_matches_the_measured_table(epsilon, published):
    assert calibrated(SAMPLED, epsilon=epsilon, delta=1e-6) == pytest.approx(published, rel=5e-3)


def test_the_factor_of_a_noisier_plan_is_smaller_by_as_much():
    doubled = scaled(EVERYBODY, 2.0)
    once, twice = (calibrated(plan, epsilon=2.0, delta=1e-6) for plan in (EVERYBODY, doubled))
    assert once == pytest.approx(2 * twice)


def test_a_multiplier_recomputed_from_rounded_products_still_fits():
    z = calibrated(EVERYBODY, epsilon=8.0, delta=1e-6)
    again = scaled(scaled(EVERYBODY, z / 3.0), 3.0 * (1 - 1e-15))
    assert cost(again, 1e-6) <= 8.0


@pytest.mark.slow
def test_units_that_are_almost_never_drawn_need_hardly_any_noise():
    rare = (PrivacyEvent(sampling_rate=1e-9, noise_multiplier=1.0, count=10),)
    assert 0 < calibrated(rare, epsilon=1.0, delta=1e-3) < 0.3


@pytest.mark.parametrize(
    ("plan", "epsilon", "delta", "named"),
    [((), 1.0, 1e-6, "event"), (EVERYBODY, 0.0, 1e-6, "epsilon"), (EVERYBODY, 1.0, 1.0, "delta")],
)
def test_a_budget_outside_its_range_is_refused_by_name(plan, epsilon, delta, named):
    with pytest.raises(ValueError, match=named):
        calibrated(plan, epsilon=epsilon, delta=delta)
