"""A mixture is convex in predictions, one of its parts at the ends, and never costs more than it may."""

import math

import pytest
import torch

from client.personalization.mixture import _expected_losses, chosen_weight, mixed
from shared_model.heads import predicted
from shared_model.losses import row_losses
from shared_model.schema import Binary, CountTask, Multiclass, Multilabel, Regression, Retrieval

TASKS = {
    "binary": Binary(kind="binary"),
    "multilabel": Multilabel(kind="multilabel", labels=("a", "b", "c")),
    "multiclass": Multiclass(kind="multiclass", classes=("a", "b", "c")),
    "regression": Regression(kind="regression", scale=2.0, center=1.0),
    "count": CountTask(kind="count"),
}
OUTPUTS = {"binary": 1, "multilabel": 3, "multiclass": 3, "regression": 1, "count": 1}


def logits(kind: str, seed: int) -> torch.Tensor:
    return torch.randn(6, OUTPUTS[kind], generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", TASKS)
def test_it_is_the_weighted_mean_of_two_predictions(kind: str) -> None:
    task, first, second = TASKS[kind], logits(kind, 0), logits(kind, 1)
    expected = 0.75 * predicted(task, first) + 0.25 * predicted(task, second)
    torch.testing.assert_close(predicted(task, mixed(task, first, second, 0.25)), expected)


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_at_the_ends_it_is_one_of_its_parts(kind: str, weight: float) -> None:
    parts = logits(kind, 0), logits(kind, 1)
    assert mixed(TASKS[kind], *parts, weight) is parts[int(weight)]


@pytest.mark.parametrize("weight", [-0.1, 1.1])
def test_a_weight_is_between_zero_and_one(weight: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        mixed(TASKS["binary"], logits("binary", 0), logits("binary", 1), weight)


def test_scores_of_items_are_not_added() -> None:
    with pytest.raises(KeyError):
        mixed(Retrieval(kind="retrieval"), torch.zeros(1, 2), torch.zeros(1, 2), 0.5)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_a_hopeless_part_costs_at_most_minus_log_of_what_is_left(kind: str) -> None:
    task = TASKS[kind]
    first, second = torch.zeros(1, OUTPUTS[kind]), torch.full((1, OUTPUTS[kind]), 1000.0)
    second[:, 0] = -1000.0  # certain, and wrong
    label = torch.ones(1) if kind == "binary" else torch.zeros(1)
    cost = row_losses(task, mixed(task, first, second, 0.2), label).value
    assert (cost - row_losses(task, first, label).value).item() <= -math.log(0.8) + 1e-5


def test_without_rows_the_first_part_speaks_alone() -> None:
    none = torch.zeros(0, 1)
    assert chosen_weight(TASKS["binary"], none, none, torch.zeros(0)) == 0.0


@pytest.mark.parametrize(("rows", "weight"), [(10, 0.15), (50, 0.5), (450, 0.9)])
def test_a_perfect_second_part_gets_the_weight_of_its_rows(rows: int, weight: float) -> None:
    # squared error, first part 0, second part and labels 2: least squares says 1, times rows / (rows + 50)
    first = torch.zeros(rows, 1)
    assert chosen_weight(TASKS["regression"], first, first + 2, first[:, 0] + 2) == pytest.approx(weight)


@pytest.mark.parametrize("kind", TASKS)
def test_rows_as_the_first_part_predicts_them_cost_least_under_it(kind: str) -> None:
    task, first, second = TASKS[kind], logits(kind, 0), logits(kind, 1)
    costs = [
        _expected_losses(task, mixed(task, first, second, u), first).mean() for u in (0.0, 0.1, 0.5, 1.0)
    ]
    assert costs == sorted(costs)
    assert costs[0] < costs[1]


def test_a_second_part_that_is_no_better_gets_no_weight() -> None:
    task, first = TASKS["count"], torch.zeros(50, 1)
    assert chosen_weight(task, first, first + 1, torch.ones(50)) == 0.0


def test_a_part_that_is_not_finite_gets_no_weight() -> None:
    task, first = TASKS["binary"], torch.zeros(50, 1)
    assert chosen_weight(task, first, first * math.nan, torch.ones(50)) == 0.0
