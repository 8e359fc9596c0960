import pytest
import torch

from simulations.audit.attacks import membership
from simulations.audit.attacks.membership import Size

SMALL = Size(federations=8, merchants=2, shoppers=8, rounds=8)


def test_a_model_that_looks_like_those_with_the_shopper_speaks_for_it():
    confidence = torch.tensor([[3.0], [2.8], [3.2], [0.0], [0.2], [-0.2]])
    took_part = torch.tensor([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]])
    ratios = membership.likelihood_ratios(confidence, took_part).squeeze(1)
    assert (ratios[:3] > 0).all()
    assert (ratios[3:] < 0).all()


def test_a_federation_is_judged_by_the_others_alone():
    """The others' means are 1 inside and 0 outside; one half lies between, so neither is likelier."""
    confidence = torch.tensor([[0.5], [1.0], [1.0], [0.0], [0.0]])
    took_part = torch.tensor([[1.0], [1.0], [1.0], [0.0], [0.0]])
    assert membership.likelihood_ratios(confidence, took_part)[0].item() == pytest.approx(0.0)


def test_without_privacy_members_are_found_and_with_privacy_they_are_not():
    """At epsilon 1 the AUC deviates from chance by .075 (40 seeds); four times that: one run in 10,000."""
    overall, few = membership.attack(epsilon=1.0, seed=0, size=SMALL)
    assert overall.plain > 0.9
    assert abs(overall.private - overall.chance) < 0.3
    assert few.plain > few.private


def test_a_budget_that_promises_nothing_protects_nothing():
    overall, _ = membership.attack(epsilon=1e6, seed=0, size=SMALL)
    assert overall.private > 0.9


@pytest.mark.slow
def test_the_full_attack_works_without_privacy_and_hardly_with_it():
    overall, few = membership.attack(epsilon=8.0, seed=0)
    assert overall.plain > 0.85
    assert few.plain > 0.1
    assert 0.45 < overall.private < 0.6
    assert few.private < 0.04
