"""Costs match published and independently computed values; no shortcut that reports too little is open."""

import subprocess
import sys

import pytest

from shared_model.errors import PrivacyError
from shared_model.privacy import accounting
from shared_model.privacy.accounting import cross_check, delta_of, epsilon, renyi_epsilon, within
from shared_model.privacy.events import PrivacyEvent, combined


def steps(sampling_rate: float, noise_multiplier: float, count: int = 1) -> tuple[PrivacyEvent]:
    return (PrivacyEvent(sampling_rate=sampling_rate, noise_multiplier=noise_multiplier, count=count),)


TABLE = [
    (steps(1.0, 1.0), 1e-5, 4.3772),
    (steps(1.0, 10.0, 1000), 1e-6, 19.4237),
    (steps(0.01, 1.0, 1000), 1e-5, 1.828),
    (steps(0.001, 0.6, 5000), 1e-6, 2.748),
    (steps(0.02, 0.5, 100), 1e-5, 9.694),
    (steps(0.01, 4.0, 10_000), 1e-5, 0.947),
]
"""Events, delta and the epsilon that dp-accounting's loss distribution gives on a grid of 1e-4."""


@pytest.mark.parametrize(("events", "delta", "measured"), TABLE)
def test_epsilon_matches_the_measured_table(events, delta, measured):
    assert epsilon(events, delta) == pytest.approx(measured, abs=6e-4)


@pytest.mark.parametrize(
    ("events", "delta", "measured"),
    [
        (steps(1.0, 1.0), 1e-5, 4.729),
        (steps(1.0, 10.0, 1000), 1e-6, 20.552),
        (steps(0.01, 1.0, 1000), 1e-5, 2.101),
        (steps(0.02, 0.5, 100), 1e-5, 11.593),
    ],
)
def test_renyi_moments_match_the_measured_table(events, delta, measured):
    assert renyi_epsilon(events, delta) == pytest.approx(measured, abs=6e-4)


@pytest.mark.parametrize(
    "events", [steps(1.0, 10.0, 100), steps(1.0, 0.7), steps(1.0, 4.0, 7) + steps(1.0, 9.0)]
)
def test_the_exact_gaussian_agrees_with_the_loss_distribution_to_four_decimals(events):
    on_the_grid = accounting._grid_epsilon(events, 1e-6, 1e-4)
    assert epsilon(events, 1e-6) == pytest.approx(on_the_grid, abs=5e-5)
    assert epsilon(events, 1e-6) <= on_the_grid


def test_two_clip_groups_are_one_mechanism_and_both_shortcuts_report_too_little():
    def cost(*multipliers: float) -> float:
        return epsilon([event for sigma in multipliers for event in steps(0.02, sigma, 1000)], 1e-6)

    assert cost(combined([1.2, 2.4])) == pytest.approx(3.875, abs=1e-3)
    assert cost(1.2) == pytest.approx(3.177, abs=1e-3)  # the larger group alone
    assert cost(1.2, 2.4) == pytest.approx(3.442, abs=2e-3)  # as if each had drawn a sample of its own


@pytest.mark.parametrize(("events", "delta", "measured"), TABLE[:4])
def test_opacus_agrees(events, delta, measured):
    checked = cross_check(events, delta)
    assert checked["opacus-prv"] == pytest.approx(epsilon(events, delta), abs=0.0125)  # its own error is .01
    assert checked["opacus-rdp"] == pytest.approx(renyi_epsilon(events, delta), rel=1e-3)


def test_the_gaussian_approximation_is_refused_and_says_why():
    with pytest.raises(PrivacyError, match=r"reports too little \(1.618 where 1.828 is spent"):
        cross_check(steps(0.01, 1.0, 1000), 1e-5, ["gdp"])


@pytest.mark.filterwarnings("ignore:GDP accounting is experimental")
def test_the_reason_given_for_the_refusal_is_true():
    from opacus.accountants import GaussianAccountant

    approximation = GaussianAccountant()
    approximation.history = [(1.0, 0.01, 1000)]
    assert approximation.get_epsilon(1e-5) == pytest.approx(1.618, abs=1e-3)


def test_an_unknown_accountant_is_refused_by_name():
    with pytest.raises(ValueError, match="opacus-rdp, opacus-prv, got 'moments'"):
        cross_check(steps(1.0, 1.0), 1e-5, ["moments"])


def test_nothing_released_costs_nothing():
    assert epsilon([], 1e-6) == renyi_epsilon([], 1e-6) == delta_of([], 1.0) == 0.0
    assert set(cross_check([], 1e-6).values()) == {0.0}


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-6, float("nan")])
@pytest.mark.parametrize("cost", [epsilon, renyi_epsilon, cross_check])
def test_a_delta_outside_its_range_is_refused(cost, delta):
    with pytest.raises(ValueError, match="delta in"):
        cost(steps(1.0, 1.0), delta)


def test_the_order_in_which_releases_are_listed_does_not_matter():
    statistics, rounds = steps(1.0, 20.0), steps(0.05, 1.5, 40)
    assert epsilon(statistics + rounds, 1e-6) == epsilon(rounds + statistics, 1e-6)
    assert epsilon(rounds, 1e-6) < epsilon(statistics + rounds, 1e-6)


def test_sampling_never_costs_more_than_everybody():
    assert epsilon(steps(0.999, 2.0, 10), 1e-6) <= epsilon(steps(1.0, 2.0, 10), 1e-6)


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_hardly_any_noise_is_still_counted_quickly_and_more_noise_costs_less(noise):
    assert epsilon(steps(0.5, noise, 10_000), 1e-6) > epsilon(steps(0.5, 2 * noise, 10_000), 1e-6) > 200


def test_many_weak_steps_do_not_drown_in_the_grid():
    # A grid of 1e-4 alone would say .149: each of a million steps is rounded up.
    assert epsilon(steps(0.001, 50.0, 1_000_000), 1e-6) == pytest.approx(0.0797, abs=1e-3)


def test_delta_and_epsilon_are_two_sides_of_one_curve():
    assert delta_of(steps(0.01, 1.0, 1000), 1.8282) == pytest.approx(1e-5, rel=1e-2)
    assert delta_of(steps(1.0, 1.0), 4.3772) == pytest.approx(1e-5, rel=1e-4)


def test_a_negative_epsilon_has_no_delta():
    with pytest.raises(ValueError, match="epsilon >= 0"):
        delta_of(steps(1.0, 1.0), -0.1)


@pytest.mark.parametrize("limit", [1.0, 1.8, 1.83, 2.2])
def test_the_quick_question_has_the_answer_of_the_slow_one(limit):
    events = steps(0.01, 1.0, 1000)
    assert within(events, 1e-5, limit) == (epsilon(events, 1e-5) <= limit)


def test_one_order_fixed_beforehand_costs_no_less_than_the_best_one():
    events = steps(0.05, 1.0, 200)
    assert renyi_epsilon(events, 1e-5, order=6) >= renyi_epsilon(events, 1e-5)


def test_moments_are_those_of_the_library():
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
    from dp_accounting.rdp import RdpAccountant

    theirs = RdpAccountant().compose(
        SelfComposedDpEvent(PoissonSampledDpEvent(0.01, GaussianDpEvent(1.0)), 500)
    )
    assert renyi_epsilon(steps(0.01, 1.0, 500), 1e-6) == pytest.approx(theirs.get_epsilon(1e-6))


def test_counting_needs_neither_torch_nor_opacus():
    program = (
        "import sys; from shared_model.privacy.accounting import epsilon; "
        "from shared_model.privacy.events import PrivacyEvent; "
        "epsilon([PrivacyEvent(sampling_rate=0.1, noise_multiplier=1.0)], 1e-6); "
        "print({'torch', 'opacus'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


def test_a_plan_that_protects_nobody_is_checked_without_a_grid_of_gigabytes() -> None:
    plan = [PrivacyEvent(sampling_rate=1.0, noise_multiplier=0.01)]  # epsilon about 5,000
    assert list(cross_check(plan, 1e-6)) == ["opacus-rdp"]
