import pytest
import torch

from simulations.audit.attacks import ids
from simulations.audit.attacks.categories import Size

SMALL = Size(merchants=1, shoppers=60, buckets=100, steps=2, sample=1.0)


def test_every_row_that_moved_is_told_apart_and_the_one_for_missing_is_left_out():
    update = {"encoder.tables.brand.weight": torch.tensor([[9.0, 9.0], [0.0, 0.0], [3.0, 4.0]])}
    assert ids.moved(update, "brand").tolist() == [0.0, 5.0]


def test_without_privacy_every_category_is_known_and_with_privacy_none():
    """At epsilon 1 the AUC deviates from chance by .031 (40 seeds); four times that: one run in 10,000."""
    (found,) = ids.attack(epsilon=1.0, seed=0, size=SMALL)
    assert found.plain == 1.0
    assert abs(found.private - found.chance) < 0.13


def test_a_budget_that_promises_nothing_protects_nothing():
    (found,) = ids.attack(epsilon=1e6, seed=0, size=SMALL)
    assert found.private > 0.95


@pytest.mark.slow
def test_the_full_attack_knows_every_category_without_privacy_and_none_with_it():
    (found,) = ids.attack(epsilon=8.0, seed=0)
    assert found.plain > 0.99
    assert abs(found.private - found.chance) < 0.05
