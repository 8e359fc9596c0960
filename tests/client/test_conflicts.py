"""Rules for conflicting gradients: projections by hand, and sums where nothing is in another's way."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchjd.aggregation import UPGrad

from client.conflicts import RULES, Resolver, jacobian_of
from client.dual_cone import NonNegative
from client.training import train_plain, trained_losses
from shared_model.model import MultiTaskModel
from tests.client import conflicting

EVERY_RULE = sorted(RULES)


def resolved(rule: str, rows: list[list[float]], seed: int = 0) -> Tensor:
    return Resolver(rule, torch.Generator().manual_seed(seed))(torch.tensor(rows))  # type: ignore[arg-type]


def test_pcgrad_of_two_tasks_is_the_projection_by_hand() -> None:
    # (1, 0) without its part along (-1, 1) is (1/2, 1/2); (-1, 1) without its part along (1, 0) is (0, 1)
    assert resolved("pcgrad", [[1.0, 0.0], [-1.0, 1.0]]).tolist() == pytest.approx([0.5, 1.5])


def test_upgrad_of_two_tasks_is_the_same_projection() -> None:
    assert resolved("upgrad", [[1.0, 0.0], [-1.0, 1.0]]).tolist() == pytest.approx([0.5, 1.5])


def test_dualproj_projects_the_sum() -> None:
    # the sum (0, 1) is in nobody's way; the sum (1, 0) - 3 (1, 0) + (0, 1) = (-2, 1) is in the first one's
    assert resolved("dualproj", [[1.0, 0.0], [-1.0, 1.0]]).tolist() == pytest.approx([0.0, 1.0])
    assert resolved("dualproj", [[1.0, 0.0], [-3.0, 1.0]]).tolist() == pytest.approx([0.0, 1.0])


def test_mgda_is_twice_the_shortest_vector_between_two_gradients() -> None:
    # the line from (1, 0) to (-1, 1) comes nearest to the origin at (1/5, 2/5)
    assert resolved("mgda", [[1.0, 0.0], [-1.0, 1.0]]).tolist() == pytest.approx([0.4, 0.8])


def test_the_bargain_gives_every_task_the_same_relative_gain() -> None:
    # Nash: weights x with G x = 1 / x, so that gradient i gains 1 / x_i; at right angles that is its length
    assert resolved("nash_mtl", [[3.0, 0.0], [0.0, 1.0]]).tolist() == pytest.approx([math.sqrt(5)] * 2)


def test_imtl_g_has_equal_projections_on_all_gradients() -> None:
    found, rows = resolved("imtl_g", [[2.0, 0.0], [-1.0, 1.0]]), torch.tensor([[2.0, 0.0], [-1.0, 1.0]])
    projections = rows @ found / rows.norm(dim=1)
    assert float(projections[0]) == pytest.approx(float(projections[1]), rel=1e-5)


def test_the_projection_is_that_of_torchjd() -> None:
    rows = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weights = NonNegative()(torch.eye(4, dtype=torch.float64), rows @ rows.T)
    projected = weights @ rows
    assert (projected @ rows.T > -1e-9).all()  # in the dual cone
    # and the nearest point there: what was added is orthogonal to it
    assert (((projected - rows) * projected).sum(1).abs() < 1e-9).all()
    assert UPGrad(projector=NonNegative())(rows).shape == (9,)


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_gradients_at_right_angles_are_added_up(rule: str) -> None:
    found = resolved(rule, [[0.3, 0.0, 0.0], [0.0, -0.3, 0.0], [0.0, 0.0, 0.3]])
    assert found.tolist() == pytest.approx([0.3, -0.3, 0.3], rel=1e-4)


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_twice_the_gradients_are_twice_the_direction(rule: str) -> None:
    rows = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    once, small = resolved(rule, rows.tolist()), resolved(rule, (rows * 2**-20).tolist())
    torch.testing.assert_close(small * 2**20, once, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_task_without_a_gradient_has_no_say(rule: str) -> None:
    with_it = resolved(rule, [[1.0, 0.0], [0.0, 0.0], [-1.0, 1.0]])
    torch.testing.assert_close(with_it, resolved(rule, [[1.0, 0.0], [-1.0, 1.0]]))


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_one_task_alone_keeps_its_gradient(rule: str) -> None:
    assert resolved(rule, [[1.0, -2.0]]).tolist() == [1.0, -2.0]


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_what_is_not_finite_stays_so(rule: str) -> None:
    assert not resolved(rule, [[math.inf, 0.0], [1.0, 1.0]]).isfinite().all()


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_the_same_draws_give_the_same_direction_and_nobody_elses_change(rule: str) -> None:
    rows = torch.randn(4, 6, generator=torch.Generator().manual_seed(2)).tolist()
    before = torch.random.get_rng_state()
    assert torch.equal(resolved(rule, rows, 5), resolved(rule, rows, 5))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_rule_that_draws_draws_from_what_it_is_given() -> None:
    rows = torch.randn(2, 40, generator=torch.Generator().manual_seed(2)).tolist()
    assert not torch.equal(resolved("graddrop", rows, 1), resolved("graddrop", rows, 2))


# --- in training --------------------------------------------------------------------------------------


def trained(conflict: str, **local: Any) -> MultiTaskModel:
    federation = conflicting.contract(conflict, **local)
    made = conflicting.model(federation)
    train_plain(made, conflicting.Rows(federation), federation, torch.Generator().manual_seed(0))
    return made


def test_without_a_rule_gradients_are_added() -> None:
    # -2 (1, 1) + (2, 1) = (0, -1), over B = 10
    assert conflicting.values(trained("none"), *conflicting.SHARED) == pytest.approx([1.0, 0.1])


def test_a_step_with_pcgrad_by_hand() -> None:
    # (-2, -2) + 6/5 (2, 1) = (.4, -.8) and (2, 1) + 6/8 (-2, -2) = (.5, -.5): the sum over 10 is (.09, -.13)
    assert conflicting.values(trained("pcgrad"), *conflicting.SHARED) == pytest.approx([0.91, 0.13])


def test_every_head_takes_the_gradient_of_its_own_task() -> None:
    heads = ["heads.days.prior.weight", "heads.days.prior.bias", "heads.hours.prior.weight"]
    assert conflicting.values(trained("pcgrad"), *heads) == pytest.approx([1.2, 0.2, 0.8])


def test_the_rule_sees_the_weighted_gradients() -> None:
    made = trained("mgda", weighting="gradnorm")  # whose first step has the factors 1
    assert conflicting.values(made, *conflicting.SHARED) == pytest.approx(
        conflicting.values(trained("mgda"), *conflicting.SHARED)
    )


def test_the_proximal_term_is_added_to_what_the_rule_chose() -> None:
    # in the first step it is zero
    assert conflicting.values(trained("pcgrad", proximal=1.0), *conflicting.SHARED) == pytest.approx(
        [0.91, 0.13]
    )


def test_a_jacobian_has_one_gradient_a_row() -> None:
    federation = conflicting.contract("none")
    made, data = conflicting.model(federation), conflicting.Rows(federation)
    found, _ = trained_losses(made, data.tasks, data.batch(torch.arange(2)), ["days", "hours"])
    parameters = [dict(made.named_parameters())[name] for name in conflicting.SHARED]
    rows = jacobian_of([losses.value.sum() for losses in found.values()], parameters)
    assert rows.tolist() == [list(row) for row in conflicting.GRADIENTS]
