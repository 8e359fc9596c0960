import pytest
import torch

from simulations.audit.attacks import inversion
from simulations.audit.attacks.inversion import Size

SMALL = Size(merchants=3)


def test_one_row_is_its_weight_gradient_over_its_bias_gradient():
    """A row (1, 3) with derivative .2: weight gradient (.2, .6), bias gradient .2."""
    shown = inversion.candidates(torch.tensor([[0.2, 0.6]]), torch.tensor([0.2]), 0.0)
    torch.testing.assert_close(shown, torch.tensor([[1.0, 3.0]]))


def test_known_noise_shrinks_the_quotient():
    """.2 / (.2^2 + .2^2) is half of 1 / .2."""
    shown = inversion.candidates(torch.tensor([[0.2, 0.6]]), torch.tensor([0.2]), 0.2)
    torch.testing.assert_close(shown, torch.tensor([[0.5, 1.5]]))


def test_the_points_most_neurons_agree_on_are_taken_first():
    shown = torch.tensor([[5.0, 5.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [2.0, 0.0], [2.0, 0.0]])
    assert inversion.agreed(shown, 2).tolist() == [[1.0, 1.0], [2.0, 0.0]]


def test_without_privacy_purchases_are_read_and_with_privacy_they_are_guessed():
    """At epsilon 8 the error is .988 of a guess's and deviates by .009 (40 seeds): less than .9 in none of
    10,000 runs."""
    (found,) = inversion.attack(epsilon=8.0, seed=0, size=SMALL)
    assert found.plain < 0.5
    assert found.private > 0.9


@pytest.mark.slow
def test_the_full_attack_reads_most_purchases_without_privacy_and_none_with_it():
    (found,) = inversion.attack(epsilon=8.0, seed=0)
    assert found.plain < 0.15
    assert 0.9 < found.private < 1.1
