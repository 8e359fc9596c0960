"""Gradient reversal under privacy: what a shopper adds is exactly its own, clipped as a loop would."""

import pytest
import torch
from torch import Tensor, nn

from client.training import weighted_losses
from shared_model.features import Batch
from shared_model.model import MultiTaskModel, build
from shared_model.privacy.plan import JOINT, plan_of
from shared_model.schema import parse_federation
from tests.shared_model.contracts import CATALOGUE
from tests.shared_model.privacy.test_plan import tables
from tests.shared_model.test_adaptation import NETWORKS, adapting

from .graphs import UNITS, batch_of, clipped_loop, deviation, one_group, rows_in_double, seeded, stepped


def model_of(architecture: str) -> MultiTaskModel:
    made = build(
        adapting(architecture, strength=2.0, hidden=3),
        generator=seeded(),
        catalogues={"next_item": CATALOGUE},
        domain="toys",
    )
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.15, generator=seeded(parameter.numel()))
    return made


def losses(architecture: str, model: MultiTaskModel, batch: Batch) -> Tensor:
    """As a private step computes them, every row of weight 1."""
    tasks = adapting(architecture).tasks
    return weighted_losses(model, batch, tasks, list(tasks), torch.ones_like(batch.numeric[:, 0]))


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("architecture", NETWORKS)
def test_sums_are_clipped_as_a_loop_would(architecture: str, units: str) -> None:
    model, batch = model_of(architecture), batch_of(architecture)

    def forward(made: nn.Module, inputs: Batch) -> Tensor:
        return losses(architecture, made, inputs)  # type: ignore[arg-type]

    groups = one_group(model, 0.7)
    moved = stepped("bookkeeping", model, forward, batch, UNITS[units], groups)
    exact = clipped_loop(model, forward, rows_in_double(batch), UNITS[units], groups)
    assert deviation(moved, exact) < 1e-6
    assert all(moved[n].any() for n in moved if n.startswith("adaptation."))


@pytest.mark.parametrize("architecture", NETWORKS)
def test_the_reference_computes_the_same_sum(architecture: str) -> None:
    model, batch = model_of(architecture), batch_of(architecture)

    def forward(made: nn.Module, inputs: Batch) -> Tensor:
        return losses(architecture, made, inputs)  # type: ignore[arg-type]

    owners, groups = UNITS["several rows per unit"], one_group(model)
    ours = stepped("bookkeeping", model, forward, batch, owners, groups)
    opacus = stepped("hooks", model, forward, batch, owners, groups)
    assert deviation(ours, {name: -moved for name, moved in opacus.items()}) < 2e-6


def test_a_private_contract_may_adapt_and_clips_the_discriminator_with_everything_else() -> None:
    given = tables()
    del given["tasks"]["units"], given["privacy"]["tasks"]["units"]  # its rows mix shoppers
    given["bottom"] = {"architecture": "shared_bottom"}
    given["adaptation"] = {"domains": ["garden", "toys"]}
    groups = plan_of(parse_federation(given), "any").groups
    assert [group.name for group in groups] == [JOINT]


def test_a_row_weight_scales_its_loss_of_being_recognised_too() -> None:
    model, batch = model_of("shared_bottom"), batch_of("shared_bottom")
    tasks = adapting("shared_bottom").tasks
    whole, half = (
        weighted_losses(model, batch, tasks, list(tasks), torch.full((len(batch),), w)) for w in (1.0, 0.5)
    )
    torch.testing.assert_close(half, 0.5 * whole)
