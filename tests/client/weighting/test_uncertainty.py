"""Uncertainty weighting: a parameter like others, and at its optimum the mean squared error."""

import math
from typing import Any

import pytest
import torch

from client.private.noise import SeededNoise
from client.private.training import train_private
from client.training import train_plain, weighted_losses
from shared_model.losses import Losses
from shared_model.model import MultiTaskModel, build, movers
from shared_model.parameters import take
from shared_model.schema import Federation, parse_federation
from tests.client.private.graphs import (
    EVERY_ARCHITECTURE,
    EVERY_MODE,
    UNITS,
    batch_of,
    clipped_loop,
    deviation,
    one_group,
    rows_in_double,
    seeded,
    stepped,
)
from tests.client.private.rows import Rows, contract, group, plan
from tests.client.test_training import TwoRows, federation
from tests.shared_model.contracts import tables

NAME = "heads.days.log_variance.weight"


def model(agreement: Federation) -> MultiTaskModel:
    return build(agreement, generator=torch.Generator().manual_seed(0))


def uncertain(**local: object) -> Federation:
    return contract(local={"learning_rate": 1.0, "weighting": "uncertainty", **local})


def test_before_training_every_loss_counts_as_it_is() -> None:
    losses = Losses(torch.tensor([0.5, 2.0]), torch.tensor([True, True]))
    assert model(uncertain()).head("days").weighed(losses).value.tolist() == [0.5, 2.0]


def test_the_loss_is_that_of_a_normal_distribution_by_hand() -> None:
    made = model(uncertain())
    with torch.no_grad():
        dict(made.named_parameters())[NAME].fill_(math.log(4.0))
    losses = Losses(torch.tensor([0.5, 0.0]), torch.tensor([True, False]))
    # .5 / 4 + log(4) / 2; a row without a label adds nothing
    assert made.head("days").weighed(losses).value.tolist() == pytest.approx([0.125 + math.log(2), 0.0])


def test_at_its_optimum_the_variance_is_the_mean_squared_error() -> None:
    # errors 1 and 3 that nothing but the variance can answer: half squares .5 and 4.5, mean square 5
    made = model(uncertain())
    s = made.head("days").log_variance
    assert s is not None
    losses = Losses(torch.tensor([0.5, 4.5]), torch.ones(2, dtype=torch.bool))
    optimizer = torch.optim.LBFGS(s.parameters(), max_iter=50)

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        value = made.head("days").weighed(losses).value.sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(objective)
    assert float(s.weight.detach().exp()) == pytest.approx(5.0, rel=1e-4)


def test_a_variance_travels_with_its_task() -> None:
    assert NAME in model(uncertain()).shared_parameters()
    assert movers(uncertain())[NAME] == {"days"}


def test_the_variance_of_a_head_that_stays_stays() -> None:
    tasks = {"days": {"kind": "regression"}, "next": {"kind": "retrieval"}}
    assert "heads.next.log_variance.weight" in model(contract(
        tasks=tasks, local={"weighting": "uncertainty"})).local_parameters()  # fmt: skip


def test_a_contract_with_fixed_weights_has_no_variances() -> None:
    assert not [n for n, _ in model(contract()).named_parameters() if "log_variance" in n]


def test_a_plain_step_by_hand() -> None:
    # One labelled row with the loss (0 - 3)^2 / 2 = 4.5: the gradient of s is (1/2 - 4.5) / 10 at s = 0.
    agreement = federation(local={"weighting": "uncertainty"})
    made = build(agreement, generator=torch.Generator())
    train_plain(made, TwoRows(agreement), agreement, torch.Generator().manual_seed(0))
    assert float(take(made, ["heads.amount.log_variance.weight"]).popitem()[1]) == pytest.approx(0.2)


def test_a_private_step_clips_it_with_the_rest_of_its_task() -> None:
    # label 2 at x = 1: gradients -2 (weight), -2 (bias), 1/2 - 2 (s); their norm is sqrt(10.25)
    agreement = uncertain()
    rows = Rows(tasks=agreement.tasks, owners=[0], prices=[1.0], labels={"days": [2.0]})
    made = model(agreement)
    noise = SeededNoise(torch.Generator())
    train_private(made, rows, agreement, plan(groups=(group("days", clipping_norm=1.0),)), noise)
    assert float(take(made, [NAME])[NAME]) == pytest.approx(1.5 / 10.25**0.5 / 10, rel=1e-5)


@pytest.mark.parametrize("mode", EVERY_MODE)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_variances_are_clipped_as_a_loop_would(architecture: str, mode: str) -> None:
    agreement = parse_federation(tables(architecture) | {"local": {"weighting": "uncertainty"}})
    made, batch = build(agreement, generator=seeded(), catalogues={"next_item": 5}), batch_of(architecture)
    for number, parameter in enumerate(made.parameters()):
        torch.nn.init.normal_(parameter, std=0.15, generator=seeded(number))
    tasks = list(agreement.tasks)

    def losses(found: torch.nn.Module, inputs: Any) -> torch.Tensor:
        return weighted_losses(found, inputs, agreement.tasks, tasks, torch.ones(len(inputs.numeric)))

    owners = UNITS["several rows per unit"]
    moved = stepped(mode, made, losses, batch, owners, one_group(made))
    exact = clipped_loop(made, losses, rows_in_double(batch), owners, one_group(made))
    assert deviation(moved, exact) < 2e-6
    assert moved["heads.late.log_variance.weight"].any()
