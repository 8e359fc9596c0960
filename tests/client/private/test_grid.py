"""A release lies on a public grid, as near as half a step to what it was."""

import pytest
import torch

from client.private.grid import grid_step, to_grid


def drawn(std: float) -> torch.Tensor:
    return std * torch.randn(10_000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("std", [1e-6, 0.003, 1.0, 700.0])
def test_values_lie_on_the_grid(std: float) -> None:
    steps = to_grid(drawn(std), std).double() / grid_step(std)
    assert torch.equal(steps, steps.round())


@pytest.mark.parametrize("std", [1e-6, 0.003, 1.0, 700.0])
def test_no_value_moves_by_more_than_half_a_step(std: float) -> None:
    values = drawn(std)
    assert float((to_grid(values, std) - values).abs().max()) <= grid_step(std) / 2


@pytest.mark.parametrize("std", [1e-6, 0.003, 1.0, 700.0])
def test_the_step_is_a_small_share_of_the_noise_and_a_power_of_two(std: float) -> None:
    step = grid_step(std)
    assert std / 2**9 < step <= std / 2**8
    assert torch.frexp(torch.tensor(step, dtype=torch.float64)).mantissa == 0.5


def test_of_two_equally_near_multiples_the_even_one_is_taken() -> None:
    values = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5])
    assert to_grid(values, 2.0**8).tolist() == [0.0, 2.0, 2.0, 0.0, -2.0]


def test_what_is_not_finite_lands_on_the_grid_too() -> None:
    rounded = to_grid(torch.tensor([float("nan"), float("inf"), float("-inf")]), 1.0)
    assert rounded.tolist() == [0.0, 2.0**44, -(2.0**44)]


def test_large_values_stay_multiples_in_float32() -> None:
    values = torch.tensor([1e9, -1e12, 3e38])
    assert torch.equal(to_grid(values, 1.0)[:2], values[:2])
    assert bool(to_grid(values, 1e30).isfinite().all())


def test_without_noise_there_is_no_grid() -> None:
    assert to_grid(torch.tensor([0.1]), 0.0).item() == pytest.approx(0.1)


def test_the_lattice_of_float32_noise_hardly_moves_the_odds_of_a_number() -> None:
    """All float32 of [1, 1.5) as noise on a sum: how many of them fall into each step of the grid."""
    first = int(torch.tensor(1.0).view(torch.int32))
    z = torch.arange(first, first + 2**22, dtype=torch.int32).view(torch.float32)
    steps = to_grid(5.0 * z + 0.3, 5.0).double() / grid_step(5.0)
    _, found = steps.unique_consecutive(return_counts=True)
    share = found[1:-1] / found[1:-1].double().mean()
    assert float(share.log().abs().max()) < 1e-4
