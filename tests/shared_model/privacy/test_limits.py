"""A limit admits what the plain computation admits, and counts chosen parameters as chosen."""

from dataclasses import replace

import pytest

from shared_model.privacy import limits
from shared_model.privacy.accounting import epsilon, renyi_epsilon
from shared_model.privacy.limits import Limit, committed, fits, repetitions, spent

from .ledgers import charge

EVERYTHING = Limit(8.0, 1e-6)
CONTRACT = Limit(8.0, 1e-6, "contract")
SAMPLED = charge(sampling_rate=0.05, noise_multiplier=1.0, count=20)


def events_of(charges):
    return [event for one in charges for event in one.events]


def test_a_limit_on_one_contract_leaves_the_others_out():
    other = charge(fingerprint="other")
    assert spent([charge(), other], CONTRACT) == spent([charge()], CONTRACT)
    assert spent([charge(), other], EVERYTHING) > spent([charge()], EVERYTHING)


def test_an_empty_ledger_has_spent_nothing():
    assert spent([], EVERYTHING) == 0.0


@pytest.mark.parametrize(
    "charges",
    [
        [charge(1), charge(2)],
        [charge(0, what="statistics", noise_multiplier=30.0), charge(1), charge(2)],
        [charge(1), charge(1, lineage="again")],
    ],
    ids=["rounds", "statistics first", "the same rounds in a second training"],
)
def test_what_was_fixed_beforehand_is_a_plan(charges):
    assert committed(charges)


@pytest.mark.parametrize(
    "other",
    [
        charge(2, fingerprint="other"),
        charge(2, noise_multiplier=5.0),
        charge(0, lineage="again", what="statistics"),
    ],
    ids=["a second contract", "another noise", "other releases in a second training"],
)
def test_what_could_be_chosen_later_is_no_plan(other):
    assert not committed([charge(1), other])


def test_a_plan_costs_what_the_loss_distribution_says():
    assert spent([SAMPLED] * 5, CONTRACT) == epsilon(events_of([SAMPLED] * 5), 1e-6)


def test_a_second_contract_is_counted_by_a_filter_at_an_order_that_the_first_charge_fixes():
    both = [SAMPLED, *[replace(SAMPLED, fingerprint="other")] * 4]
    order = limits._order(both, EVERYTHING)
    assert order == limits._order(both[:2], EVERYTHING)
    assert spent(both, EVERYTHING) == renyi_epsilon(events_of(both), 1e-6, order=order)
    assert spent(both, EVERYTHING) >= renyi_epsilon(events_of(both), 1e-6) > epsilon(events_of(both), 1e-6)


def test_where_everybody_takes_part_a_second_contract_costs_no_more_than_a_plan():
    both = [charge(), charge(fingerprint="other", noise_multiplier=3.0)]
    assert spent(both, EVERYTHING) == epsilon(events_of(both), 1e-6)


def test_the_filter_stops_within_one_charge_of_what_its_order_allows():
    first, other = SAMPLED, replace(SAMPLED, fingerprint="other")
    more = repetitions([first], other, [EVERYTHING])
    assert (
        spent([first, *[other] * more], EVERYTHING) <= 8.0 < spent([first, *[other] * (more + 1)], EVERYTHING)
    )


def test_repetitions_under_everybody_follow_the_square_of_the_noise():
    # mu^2 of epsilon 8 at 1e-6 is 2.3456: with mu = .1 a charge, 234 of them fit.
    assert repetitions([], charge(), [EVERYTHING]) == 234
    assert repetitions([charge()] * 3, charge(), [EVERYTHING]) == 231
    assert repetitions([], charge(), [EVERYTHING, Limit(1.0, 1e-6)]) < 10


def test_a_charge_that_does_not_count_can_be_repeated_for_ever():
    assert repetitions([], charge(fingerprint="other"), [CONTRACT]) == limits.MOST


@pytest.mark.parametrize(
    "one", [SAMPLED, charge(noise_multiplier=2.0, count=1)], ids=["sampled", "everybody"]
)
def test_asked_one_by_one_as_many_fit_as_the_plain_computation_admits(one, monkeypatch):
    monkeypatch.setattr(limits, "_longest", {})
    limit = Limit(3.0, 1e-6)
    admitted = [n for n in range(8) if fits([one] * n, one, limit)]
    plain = repetitions_computed_plainly(one, limit)
    assert admitted == list(range(plain))


def repetitions_computed_plainly(one, limit):
    costs = [epsilon(events_of([one] * (n + 1)), limit.delta) for n in range(8)]
    return sum(cost <= limit.epsilon for cost in costs)


def test_an_answer_that_was_remembered_does_not_help_another_limit(monkeypatch):
    monkeypatch.setattr(limits, "_longest", {})
    assert fits([SAMPLED], SAMPLED, Limit(8.0, 1e-6))
    assert not fits([SAMPLED], SAMPLED, Limit(0.5, 1e-6))


def test_a_longer_training_is_computed_rarely(monkeypatch):
    asked = []
    monkeypatch.setattr(limits, "_longest", {})
    monkeypatch.setattr(limits, "upper_epsilon", lambda plan, delta: asked.append(plan) or 0.0)
    assert all(fits([SAMPLED] * n, SAMPLED, EVERYTHING) for n in range(100))
    assert len(asked) < 10


def test_releases_of_two_units_have_no_epsilon_together():
    """What hides a record says next to nothing of a shopper with many of them."""
    of_records = charge(fingerprint="other", unit="record")
    assert spent([of_records, charge()], EVERYTHING) == float("inf")
    assert not fits([of_records], charge(), EVERYTHING)
    assert repetitions([of_records], charge(), [EVERYTHING]) == 0
    assert fits([of_records], charge(), CONTRACT)
