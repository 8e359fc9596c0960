"""GradNorm: steps by hand, and gradients that become alike."""

import pytest
import torch
from torch import nn

from client.weighting import WEIGHTINGS, Step
from client.weighting.gradnorm import RATE, moved_weights

ONE = torch.ones(2)


def test_a_step_by_hand() -> None:
    # Norms 1 and 3 have the mean 2, which both should have: 1 / 2 up and 3 / 2 down, times the rate, and
    # then scaled to the sum 2.
    up, down = 1 + RATE / 2, 1 - 3 * RATE / 2
    scale = 2 / (up + down)
    found = moved_weights(ONE, torch.tensor([1.0, 3.0]), ONE)
    assert found.tolist() == pytest.approx([up * scale, down * scale])


def test_of_equal_gradients_the_slower_task_gains() -> None:
    found = moved_weights(ONE, ONE, torch.tensor([0.9, 0.1]))
    assert found[0] > 1 > found[1]


def test_after_many_steps_the_weighted_gradients_are_alike() -> None:
    weights, norms = ONE, torch.tensor([1.0, 3.0])
    for _ in range(200):
        weights = moved_weights(weights, norms, ONE)
    assert (weights * norms).tolist() == pytest.approx([1.5, 1.5], rel=0.1)  # 1.5 x 1 = 0.5 x 3


def test_tasks_without_a_gradient_leave_the_weights() -> None:
    assert torch.equal(moved_weights(ONE, torch.zeros(2), ONE), ONE)


def test_a_weight_never_reaches_zero() -> None:
    weights = torch.tensor([1.999, 0.001])
    assert (moved_weights(weights, torch.tensor([0.1, 1e5]), ONE) > 0).all()


def parameters() -> nn.Parameter:
    return nn.Parameter(torch.tensor([1.0, 1.0]))


def step(w: nn.Parameter, late: float, days: float) -> Step:
    losses = {"late": late * w[0], "days": days * w[1]}
    return Step(losses=losses, means={"late": late, "days": days}, shared=[w])


def test_the_norms_are_those_of_the_gradients_of_what_is_shared() -> None:
    made = WEIGHTINGS["gradnorm"]({})
    assert made.factors(step(parameters(), 1.0, 3.0)) == {"late": 1.0, "days": 1.0}
    expected = moved_weights(ONE, torch.tensor([1.0, 3.0]), ONE)
    assert made.factors(step(parameters(), 1.0, 3.0)) == pytest.approx(
        {"late": float(expected[0]), "days": float(expected[1])}
    )


def test_what_it_learnt_goes_on_in_the_next_round() -> None:
    first = WEIGHTINGS["gradnorm"]({})
    first.factors(step(parameters(), 1.0, 3.0))
    second = WEIGHTINGS["gradnorm"](first.memory())
    assert second.factors(step(parameters(), 0.5, 3.0))["late"] > 1
    assert float(second.memory()["late/first"]) == 1.0
