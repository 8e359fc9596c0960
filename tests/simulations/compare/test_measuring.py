"""Kept predictions give the measures that a hand calculation gives."""

import numpy as np
import pytest

from shared_model import schema
from simulations.compare import tuning
from simulations.compare.measuring import Middle, first_measure, measures, middle
from simulations.compare.predictions import Place

BINARY = schema.Binary(kind="binary")
DAYS = schema.Regression(kind="regression", scale=2.0)
UNITS = schema.CountTask(kind="count")
ITEM = schema.Retrieval(kind="retrieval")


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_rank_of_at_most_ten_is_a_hit() -> None:
    assert first_measure(ITEM, floats(1, 10, 11, 50), floats(0, 0, 0, 0)) == 0.5


def test_an_item_choice_is_measured_by_its_ranks() -> None:
    found = measures(ITEM, floats(1, 4), floats(0, 0), None)
    assert found["recall@1"] == 0.5
    assert found["MRR"] == pytest.approx((1 + 1 / 4) / 2)
    assert found["nDCG@10"] == pytest.approx((1 + 1 / np.log2(5)) / 2)
    assert found["F1@10"] == pytest.approx(2 * 1.0 * 0.1 / (1.0 + 0.1))


def test_above_and_below_the_median_of_training_labels_is_a_classification() -> None:
    found = measures(
        DAYS, floats(1, 2, -1, -2), floats(2, -2, 2, -2), Middle(0.0, 0.25)
    )  # the 2 is called high
    assert found["accuracy (above median)"] == 0.25
    assert found["precision (above median)"] == 0.0


def test_a_count_is_told_from_the_logarithm_of_its_rate() -> None:
    found = measures(UNITS, floats(0.1, 0.2, 0.3), floats(0, 0, 4), Middle(0.0, 1 / 3))
    assert found["accuracy (above median)"] == 1.0


def test_without_training_labels_high_is_not_told_from_low() -> None:
    assert "accuracy (above median)" not in measures(DAYS, floats(1, 2), floats(2, 1), None)


def test_the_middle_of_labels_is_their_median_and_the_share_above_it() -> None:
    assert middle(floats(0, 0, 0, 0, 3)) == (0.0, pytest.approx(0.2))
    assert middle(floats(1, 2, 3, 4)) == (2.5, 0.5)


def test_a_regression_is_judged_in_transformed_units_first() -> None:
    assert first_measure(DAYS, floats(1, 1), floats(0, 0)) == pytest.approx(2.0)


def test_the_grid_is_judged_relative_to_the_constant_on_validation_rows_alone() -> None:
    there, later = Place("validation", "acme", "days"), Place("test", "acme", "days")
    labels = {there: floats(0, 0), later: floats(0, 0)}
    constant = {there: floats(2, 2), later: floats(2, 2)}
    found = {there: floats(1, 1), later: floats(9, 9)}
    assert tuning.penalty({"days": DAYS}, found, constant, labels) == pytest.approx(np.log(1 / 2))


def test_points_of_a_grid_are_alike_where_every_task_chooses_an_item() -> None:
    assert tuning.penalty({"next_item": ITEM}, {}, {}, {}) == 0.0
