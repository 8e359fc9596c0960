"""A loss for every row by itself, and its gradient."""

import math

import pytest
import torch
from torch import Tensor

from shared_model.heads import outputs_of
from shared_model.losses import row_gradients, row_losses

from .contracts import CATALOGUE, batch, contract

TASKS = contract().tasks


def logits(name: str) -> Tensor:
    return torch.randn(3, outputs_of(TASKS[name], CATALOGUE), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", TASKS)
def test_a_row_without_a_label_contributes_exactly_zero(name: str) -> None:
    z = logits(name).requires_grad_()
    loss, present = row_losses(TASKS[name], z, batch().labels[name])
    loss.sum().backward()
    assert present.tolist() == [True, True, False]
    assert loss[2] == 0
    assert z.grad is not None
    assert z.grad[2].abs().max() == 0


@pytest.mark.parametrize("name", TASKS)
def test_the_loss_of_a_row_depends_on_that_row_alone(name: str) -> None:
    z, labels = logits(name), batch().labels[name]
    together = row_losses(TASKS[name], z, labels).value
    alone = torch.cat([row_losses(TASKS[name], z[i : i + 1], labels[i : i + 1]).value for i in range(3)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize(
    ("name", "z", "label", "loss"),
    [
        ("late", [0.0], 1.0, math.log(2)),
        ("days", [1.0], 3.0, 2.0),  # half of (1 - 3)^2
        ("units", [math.log(2)], 3.0, 2 - 3 * math.log(2) + 3 * math.log(3) - 3),
        ("mood", [0.0, 0.0, 0.0], 2.0, math.log(3)),
        ("next_item", [0.0] * CATALOGUE, 4.0, math.log(CATALOGUE)),
    ],
)
def test_losses_by_hand(name: str, z: list[float], label: float, loss: float) -> None:
    found = row_losses(TASKS[name], torch.tensor([z]), torch.tensor([label])).value
    assert found.item() == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_no_loss_is_below_zero(name: str) -> None:
    assert (row_losses(TASKS[name], 3 * logits(name), batch().labels[name]).value >= 0).all()


def test_a_multilabel_loss_is_the_mean_over_labels() -> None:
    found = row_losses(TASKS["interests"], torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])).value
    assert found.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", TASKS)
def test_the_gradient_is_that_of_the_loss(name: str) -> None:
    z, labels = logits(name).double().requires_grad_(), batch().labels[name][:2].double()
    row_losses(TASKS[name], z[:2], labels).value.sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(row_gradients(TASKS[name], z.detach()[:2], labels), z.grad[:2])
