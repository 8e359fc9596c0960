"""Measures on numbers small enough to check by hand."""

import pytest
import torch

from client.measures import amounts, classification


def test_a_confident_and_right_answer_is_calibrated_and_a_confident_and_wrong_one_is_not() -> None:
    logits = torch.tensor([20.0, 20.0])
    assert classification.binary(logits, torch.tensor([1.0, 1.0]))["ECE"] == pytest.approx(0.0, abs=1e-6)
    assert classification.binary(logits, torch.tensor([1.0, 0.0]))["ECE"] == pytest.approx(0.5, abs=1e-6)


def test_decisions_are_counted_for_yes() -> None:
    found = classification.decisions(
        torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    )
    assert found == {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "F1": 0.5}


def test_too_few_of_one_label_give_no_auc() -> None:
    labels = torch.tensor([1.0] * 4 + [0.0] * 20)
    assert "AUC" not in classification.binary(torch.zeros(24), labels)
    assert "AUC" in classification.binary(torch.zeros(25), torch.cat([labels, torch.ones(1)]))


def test_classes_are_judged_by_accuracy_and_by_f1_over_classes() -> None:
    logits = torch.tensor([[5.0, 0.0], [5.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    found = classification.multiclass(logits, torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert found["accuracy"] == 0.75
    assert found["F1"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_labels_are_judged_one_by_one() -> None:
    found = classification.multilabel(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 1.0]]))
    assert found["accuracy"] == 0.5


def test_the_best_constant_has_a_normalised_error_of_one() -> None:
    found = amounts.normalised(torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0]))
    assert found == {"MSE / variance": 1.0, "MSE / range^2": 0.25}


def test_equal_labels_have_no_normalised_error() -> None:
    assert amounts.normalised(torch.tensor([1.0]), torch.tensor([2.0])) == {}


def test_errors_are_means_in_natural_units() -> None:
    assert amounts.errors(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])) == {"MAE": 2.0, "MSE": 5.0}


def test_as_many_rows_are_called_high_as_the_share_known_before_says() -> None:
    predicted, truth = torch.tensor([9.0, 7.0, 8.0, 6.0, 5.0]), torch.tensor([3.0, 3.0, 1.0, 1.0, 3.0])
    found = amounts.halves(predicted, truth, 2.0, 0.4)  # 9 and 8 are called high; 9, 7 and 5 are
    assert found == {
        "accuracy (above median)": pytest.approx(2 / 5),
        "precision (above median)": pytest.approx(1 / 2),
        "recall (above median)": pytest.approx(1 / 3),
        "F1 (above median)": pytest.approx(2 / 5),
    }


def test_where_the_median_is_the_lowest_label_a_mean_above_it_is_not_called_high() -> None:
    found = amounts.halves(torch.tensor([1.1, 1.2, 1.3, 3.0]), torch.tensor([1.0, 1.0, 1.0, 5.0]), 1.0, 0.25)
    assert found["accuracy (above median)"] == 1.0


def test_a_constant_calls_no_row_high() -> None:
    found = amounts.halves(torch.full((4,), 3.0), torch.tensor([1.0, 1.0, 3.0, 3.0]), 2.0, 0.5)
    assert (found["accuracy (above median)"], found["recall (above median)"]) == (0.5, 0.0)


def test_equal_predictions_at_the_border_are_not_called_high() -> None:
    found = amounts.halves(torch.tensor([4.0, 3.0, 3.0, 1.0]), torch.tensor([3.0, 3.0, 1.0, 1.0]), 2.0, 0.5)
    assert (found["recall (above median)"], found["precision (above median)"]) == (0.5, 1.0)


def test_where_no_known_label_is_above_the_median_no_row_is_called_high() -> None:
    found = amounts.halves(torch.tensor([4.0, 3.0]), torch.tensor([1.0, 2.0]), 1.0, 0.0)
    assert found["recall (above median)"] == 0.0
