from dataclasses import replace

import numpy as np
import pytest

from simulations.audit.canaries import observe
from simulations.audit.mechanism import HONEST
from simulations.audit.silence import silent
from tests.simulations.audit.subjects import ITEMS, full_batches, sampled

GRID = 0.02
"""Half a step of the public grid is at most 1/512 of the noise, which is a few canaries long."""


def seen(subject, mechanism=HONEST, steps=3, by_coin=200, certain=100):
    return observe(
        mechanism,
        subject.federation,
        subject.plan,
        steps=steps,
        by_coin=by_coin,
        certain=certain,
        seed=1,
    )


def test_without_noise_a_canary_adds_what_was_claimed_but_for_the_grid():
    # A score is 1 / z^2 with the canary and 0 without.
    subject = full_batches()
    found = seen(subject, replace(HONEST, noise=silent))
    assert found.scores[found.entered] == pytest.approx(subject.plan.noise_multiplier**-2, rel=GRID)
    assert np.all(found.scores[~found.entered] == 0)


def test_a_canary_of_a_product_turns_round_and_moves_as_far_as_was_claimed():
    subject = full_batches(tasks=ITEMS)
    found = seen(subject, replace(HONEST, noise=silent))
    difference = found.scores[found.entered].mean() - found.scores[~found.entered].mean()
    assert [group.sensitivity for group in subject.plan.groups] == [1.0, 2.0]
    assert difference == pytest.approx(subject.plan.noise_multiplier**-2, rel=GRID)


def test_about_half_of_the_canaries_are_in_by_coin_and_the_others_always():
    # 200 fair coins: outside 65 to 135 with a probability below 1e-6.
    found = seen(full_batches())
    assert 65 < found.inserted[found.by_coin].sum() < 135
    assert found.inserted[~found.by_coin].all()


def test_a_sampled_step_holds_only_some_of_those_that_are_in():
    found = seen(sampled(), by_coin=0, certain=500, steps=2)
    assert 50 < found.entered[0].sum() < 150  # 500 at a rate of a fifth: 100 expected, standard deviation 9
    assert (found.entered[0] != found.entered[1]).any()


def test_the_same_seed_sees_the_same():
    first, second = seen(sampled()), seen(sampled())
    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(first.entered, second.entered)
