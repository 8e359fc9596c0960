import pytest
import torch

from simulations.audit.attacks.measures import auc, true_positive_rate

# Truths of 1 score .35 and .8, of 0 .1 and .4: three of the four pairs are in the right order.
SCORES, TRUTH = torch.tensor([0.1, 0.4, 0.35, 0.8]), torch.tensor([0, 0, 1, 1])


def test_auc_is_the_share_of_pairs_in_the_right_order():
    assert auc(SCORES, TRUTH) == 0.75


def test_equal_scores_count_half():
    assert auc(torch.zeros(5), torch.tensor([1, 0, 0, 1, 0])) == 0.5


def test_auc_turns_with_the_scores():
    assert auc(-SCORES, TRUTH) == pytest.approx(0.25)


def test_without_false_alarms_only_what_lies_above_every_zero_counts():
    assert true_positive_rate(SCORES, TRUTH, false_positive_rate=0.0) == 0.5


def test_with_one_false_alarm_in_two_the_threshold_is_the_second_highest_zero():
    assert true_positive_rate(SCORES, TRUTH, false_positive_rate=0.5) == 1.0
