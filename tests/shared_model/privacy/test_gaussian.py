"""The Gaussian mechanism's curve is exact and its inverses lie on the safe side."""

import math

import pytest

from shared_model.privacy.gaussian import delta_at, epsilon_at, mu_at


def test_at_epsilon_zero_delta_is_the_total_variation():
    # N(0, 1) against N(1, 1): 2 Phi(1/2) - 1 = .3829
    assert delta_at(1.0, 0.0) == pytest.approx(0.3829249, abs=1e-7)


@pytest.mark.parametrize(
    ("mu", "delta", "published"),
    [(1.0, 1e-5, 4.3772), (math.sqrt(1000) / 10, 1e-6, 19.4237)],
)
def test_epsilon_is_the_exact_value_of_the_curve(mu, delta, published):
    assert epsilon_at(mu, delta) == pytest.approx(published, abs=1e-4)


def test_a_mechanism_below_delta_costs_nothing():
    assert epsilon_at(1e-7, 1e-6) == 0.0


@pytest.mark.parametrize("mu", [1e-3, 0.1, 1.0, 5.0, 100.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
def test_epsilon_never_reports_too_little(mu, delta):
    assert delta_at(mu, epsilon_at(mu, delta)) <= delta * (1 + 1e-9)


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 1.0, 8.0, 50.0])
def test_mu_is_found_again_on_the_safe_side(epsilon):
    back = epsilon_at(mu_at(epsilon, 1e-6), 1e-6)
    assert epsilon * (1 - 1e-9) < back <= epsilon
