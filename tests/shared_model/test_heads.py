"""Heads: a public constant before training, and a shared prior for newcomers."""

import math

import pytest
import torch
from torch import Tensor

from shared_model.heads import Head, initial_logit, measure_of, outputs_of, predicted, rank_of

from .contracts import CATALOGUE, contract

TASKS = contract().tasks


def logits(name: str, generator: torch.Generator | None = None) -> Tensor:
    outputs = outputs_of(TASKS[name], CATALOGUE)
    return torch.randn(3, outputs, generator=generator or torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", TASKS)
def test_before_training_a_head_predicts_the_public_constant(name: str) -> None:
    task = TASKS[name]
    head = Head(task, width=4, outputs=outputs_of(task, CATALOGUE))
    constant = torch.full((1, outputs_of(task, CATALOGUE)), initial_logit(task))
    torch.testing.assert_close(head(torch.randn(1, 4)), constant)


def test_a_merchant_that_never_trained_serves_exactly_the_prior() -> None:
    head = Head(TASKS["late"], width=4, outputs=1)
    torch.nn.init.normal_(head.prior.weight)  # type: ignore[union-attr]
    z = torch.randn(3, 4)
    assert torch.equal(head(z), head(z, own=False))


def test_a_head_of_its_own_ignores_the_prior() -> None:
    head = Head(TASKS["late"], width=4, outputs=1, alone=True)
    torch.nn.init.normal_(head.prior.weight)  # type: ignore[union-attr]
    assert head(torch.randn(1, 4)).item() == pytest.approx(initial_logit(TASKS["late"]))


def test_retrieval_has_no_prior() -> None:
    head = Head(TASKS["next_item"], width=4, outputs=CATALOGUE)
    assert head.prior is None
    assert head(torch.ones(2, 4), own=False).tolist() == [[0.0] * CATALOGUE] * 2


def test_predictions_are_in_natural_units() -> None:
    # days = expm1(logit * 0.5 + 2)
    assert predicted(TASKS["days"], torch.tensor([[2.0]])).item() == pytest.approx(math.expm1(3.0))
    assert predicted(TASKS["late"], torch.tensor([[0.0]])).item() == 0.5
    assert predicted(TASKS["units"], torch.tensor([[0.0]])).item() == 1.0
    assert predicted(TASKS["mood"], torch.zeros(1, 3)).sum().item() == pytest.approx(1.0)


def test_a_regression_is_judged_in_transformed_units() -> None:
    # an error of 2 scaled units is 2 * 0.5 = 1 in log units
    score = measure_of(TASKS["days"]).row_score(TASKS["days"], torch.tensor([[2.0]]), torch.tensor([0.0]))
    assert score.tolist() == [1.0]


def test_the_poisson_deviance_of_a_perfect_rate_is_zero() -> None:
    labels = torch.tensor([2.0, 5.0])
    score = measure_of(TASKS["units"]).row_score(TASKS["units"], labels.log().unsqueeze(-1), labels)
    torch.testing.assert_close(score, torch.zeros(2))


def test_the_poisson_deviance_of_a_vanishing_rate_is_a_number() -> None:
    # 2 (2 log 2 - 2 log(rate) - 2) with log(rate) = -200, whose rate is 0 in float32
    score = measure_of(TASKS["units"]).row_score(
        TASKS["units"], torch.full((2, 1), -200.0), torch.tensor([0.0, 2.0])
    )
    torch.testing.assert_close(score, torch.tensor([0.0, 4 * math.log(2) + 800 - 4]))


def test_the_rank_counts_half_of_the_equals_and_every_score_that_is_no_number() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0], [0.0, 0.0, 0.0], [math.nan, 5.0, 1.0]])
    assert rank_of(scores, torch.tensor([2.0, 0.0, 1.0])).tolist() == [2.0, 2.0, 2.0]
    broken = torch.full((1, 20), math.nan)
    hit = measure_of(TASKS["next_item"]).row_score(TASKS["next_item"], broken, torch.tensor([0.0]))
    assert hit.tolist() == [0.0]


def test_a_hit_is_among_the_ten_best_and_ties_count_half() -> None:
    hit = measure_of(TASKS["next_item"]).row_score
    ranked = torch.arange(20.0).expand(2, 20)
    assert hit(TASKS["next_item"], ranked, torch.tensor([10.0, 9.0])).tolist() == [1.0, 0.0]
    tied = torch.zeros(1, 30)  # 29 ties: 14.5 of them count as ahead
    assert hit(TASKS["next_item"], tied, torch.tensor([0.0])).tolist() == [0.0]
