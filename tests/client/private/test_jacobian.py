"""One clip over a unit's gradients of all tasks; noise on every entry; nothing else."""

import pytest
import torch
from torch import Tensor

from client.private import SecureNoise
from client.private.jacobian import private_jacobian
from shared_model.errors import PrivacyError
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel
from tests.shared_model.contracts import contract, rows

from .graphs import EVERY_ARCHITECTURE, SEVERAL, UNITS, batch_of, model_of, rows_in_double

TASKS = ("late", "days", "mood")
NOBODY = (torch.zeros(0, dtype=torch.int64), 0)


def task_losses(model: MultiTaskModel, batch: object) -> Tensor:
    federation = contract()
    logits = model(batch, TASKS)
    return torch.stack([row_losses(federation.tasks[t], logits[t], batch.labels[t]).value for t in TASKS])


def jacobian(
    model: MultiTaskModel, batch: object, owners: tuple[Tensor, int], norm: float, std: float = 0.0
) -> Tensor:
    return private_jacobian(
        model,
        model.shared_parameters(),
        lambda: task_losses(model, batch),
        len(TASKS),
        *owners,
        clipping_norm=norm,
        noise_std=std,
        noise=SecureNoise(),
    )


def unit_jacobian(model: MultiTaskModel, batch: object) -> Tensor:
    """Of the rows of one unit, unclipped, by autograd."""
    parameters = dict(model.named_parameters())
    wanted = [parameters[n] for n in model.shared_parameters()]
    found = []
    for value in task_losses(model, batch):
        gradients = torch.autograd.grad(value.sum(), wanted, retain_graph=True, allow_unused=True)
        found.append(
            torch.cat(
                [
                    (torch.zeros_like(p) if g is None else g).flatten()
                    for p, g in zip(wanted, gradients, strict=True)
                ]
            )
        )
    return torch.stack(found)


@pytest.mark.parametrize("norm", [0.3, 2.0])
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_it_is_the_sum_of_jointly_clipped_task_gradients(architecture: str, units: str, norm: float) -> None:
    model, batch, (of_row, count) = model_of(architecture), batch_of(architecture), UNITS[units]
    exact, of_rows = model_of(architecture).double(), rows_in_double(batch)
    expected = torch.zeros(())
    for unit in of_row.unique():
        one = unit_jacobian(exact, of_rows((of_row == unit).nonzero().squeeze(1)))
        expected = expected + one * min(1.0, norm / float(one.norm()))
    found = jacobian(model, batch, (of_row, count), norm)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6 * max(1.0, norm))


def test_without_a_unit_the_whole_matrix_moves_by_the_clipping_norm_at_most() -> None:
    model, batch = model_of("mmoe"), batch_of("mmoe")
    batch.numeric[SEVERAL == 3] = 1e4
    kept = SEVERAL != 3
    everybody = jacobian(model, batch, (SEVERAL, 7), 0.3)
    others = jacobian(model, rows(batch, kept), (SEVERAL[kept], 7), 0.3)
    assert float((everybody - others).norm()) == pytest.approx(0.3, rel=1e-5)


def test_a_unit_that_is_no_number_for_one_task_counts_for_none() -> None:
    model, batch = model_of("mmoe"), batch_of("mmoe")
    kept = SEVERAL != 3
    others = jacobian(model, rows(batch, kept), (SEVERAL[kept], 7), 0.3)
    batch.labels["days"][4] = float("inf")  # row 4 is one of unit 3's
    assert float((jacobian(model, batch, (SEVERAL, 7), 0.3) - others).abs().max()) < 1e-6


def test_nobody_drawn_gives_noise_on_every_entry() -> None:
    found = jacobian(model_of("mmoe"), None, NOBODY, 1.0, 2.0)
    assert found.shape[0] == len(TASKS)
    # over 30,000 entries the sd is within 3 % with probability 1 - 1e-12
    assert float(found.std()) == pytest.approx(2.0, rel=0.03)


def test_losses_without_a_task_axis_are_refused() -> None:
    model, batch = model_of("mmoe"), batch_of("mmoe")
    with pytest.raises(PrivacyError, match=r"Expected losses of shape \(3, 12\), got \(12,\)"):
        private_jacobian(
            model, model.shared_parameters(), lambda: task_losses(model, batch).sum(0), 3, SEVERAL, 7,
            clipping_norm=1.0, noise_std=0.0, noise=SecureNoise(),
        )  # fmt: skip
