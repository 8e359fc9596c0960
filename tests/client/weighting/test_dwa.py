"""Dynamic weight average: ratios of losses, and nothing before there are two rounds."""

import math

import pytest
import torch

from client.weighting import WEIGHTINGS, Step


def step(**means: float) -> Step:
    return Step(losses={task: torch.tensor(0.0) for task in means}, means=means, shared=())


def remembered(**means: float) -> dict[str, torch.Tensor]:
    return {name.replace("_", "/"): torch.tensor(mean) for name, mean in means.items()}


def test_the_first_two_rounds_weigh_alike() -> None:
    first = WEIGHTINGS["dwa"]({})
    assert first.factors(step(late=3.0, days=1.0)) == {"late": 1.0, "days": 1.0}
    second = WEIGHTINGS["dwa"](first.memory())
    assert second.factors(step(late=3.0, days=0.1)) == {"late": 1.0, "days": 1.0}


def test_a_task_whose_loss_stands_still_counts_more_than_one_that_halved() -> None:
    # ratios 1 and 1/2 at temperature 2: e^.5 and e^.25, scaled to the sum 2
    made = WEIGHTINGS["dwa"](remembered(late_last=2.0, late_before=2.0, days_last=1.0, days_before=2.0))
    found = made.factors(step(late=1.0, days=1.0))
    share = math.exp(0.5) / (math.exp(0.5) + math.exp(0.25))
    assert found == pytest.approx({"late": 2 * share, "days": 2 - 2 * share})


def test_a_round_is_remembered_by_the_mean_over_its_steps() -> None:
    made = WEIGHTINGS["dwa"](remembered(late_last=4.0))
    made.factors(step(late=1.0))
    made.factors(step(late=3.0))
    assert made.memory() == remembered(late_last=2.0, late_before=4.0)


def test_a_task_without_a_labelled_row_keeps_what_is_known_of_it() -> None:
    made = WEIGHTINGS["dwa"](remembered(late_last=4.0))
    made.factors(step(days=1.0))
    assert made.memory() == remembered(late_last=4.0, days_last=1.0)


def test_a_task_that_had_no_loss_has_the_ratio_one() -> None:
    made = WEIGHTINGS["dwa"](remembered(late_last=1.0, late_before=0.0))
    assert made.factors(step(late=1.0, days=1.0)) == {"late": 1.0, "days": 1.0}
