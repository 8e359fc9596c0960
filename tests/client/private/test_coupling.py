"""Units can be clipped one by one only where no row's loss depends on another row."""

from dataclasses import replace

import pytest
import torch

from client.private.bookkeeping import Bookkeeping
from client.private.jacobian import private_jacobian
from client.private.noise import SecureNoise
from shared_model.errors import PrivacyError
from shared_model.features import Batch
from shared_model.model import build
from shared_model.schema import parse_federation
from tests.shared_model.contracts import CATALOGUE, tables

from .graphs import (
    EVERY_ARCHITECTURE,
    UNITS,
    Net,
    batch_of,
    linear,
    model_of,
    one_group,
    seeded,
    stepped,
    table,
    task_losses,
)

OWNERS = UNITS["one row per unit"]
X = torch.randn(12, 12, 3, generator=seeded())


@pytest.mark.parametrize(
    "coupled",
    [
        lambda m, x: (m.a(x[:, 0]) - m.a(x[:, 0]).mean(0)).square().sum(1),
        lambda m, x: (m.a(x[:, 0]).T - torch.ones(12, 1)).square().mean(1),
        lambda m, x: (m.a(x[:, 0]) @ m.a(x[:, 0]).T).logsumexp(1),
        lambda m, x: m.a(x).sum((0, 2)),
    ],
    ids=[
        "a statistic of the batch",
        "a loss that broadcasts",
        "a softmax over the batch",
        "rows on another axis",
    ],
)
def test_losses_that_couple_rows_are_refused(coupled: object) -> None:
    model = Net({"a": linear(3, 1)})
    with pytest.raises(PrivacyError, match="depends on what a Linear returns for other rows"):
        stepped("bookkeeping", model, coupled, X, OWNERS, one_group(model))


def test_a_coupled_table_is_refused() -> None:
    model = Net({"t": table(5, 2)})
    with pytest.raises(PrivacyError, match="what a Store returns for other rows"):
        stepped("bookkeeping", model, lambda m, i: m.t(i).cumsum(0).flip(0).sum(1), torch.arange(3),
                (torch.arange(3), 3), one_group(model))  # fmt: skip


def test_a_coupled_loss_of_a_later_task_is_refused_in_a_jacobian() -> None:
    model = Net({"a": linear(3, 1)})

    def losses() -> torch.Tensor:
        told = model.a(X[:, 0]).squeeze(1)
        return torch.stack([told.square(), (told - told.mean()).square()])

    with pytest.raises(PrivacyError, match="depends on what a Linear returns for other rows"):
        private_jacobian(
            model, ["a.weight"], losses, 2, *OWNERS, clipping_norm=1.0, noise_std=1.0, noise=SecureNoise()
        )


@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_no_model_of_the_project_couples_rows(architecture: str) -> None:
    model = model_of(architecture)
    stepped("bookkeeping", model, task_losses(architecture), batch_of(architecture), OWNERS, one_group(model))


def test_one_row_alone_shows_nothing_so_the_next_batch_is_looked_at() -> None:
    model = Net({"a": linear(3, 1)})
    machine = Bookkeeping(model, one_group(model), learning_rate=1.0, divisor=1.0, noise=SecureNoise())
    x = X[:, 0]
    machine.step(lambda: m_minus_mean(model, x[:1]), torch.zeros(1, dtype=torch.int64), 1)
    with pytest.raises(PrivacyError, match="for other rows"):
        machine.step(lambda: m_minus_mean(model, x), *OWNERS)


def m_minus_mean(model: Net, x: torch.Tensor) -> torch.Tensor:
    return (model.a(x) - model.a(x).mean(0)).square().sum(1)


@pytest.mark.parametrize("mode", ["bookkeeping", "hooks"])
def test_no_sum_without_noise_stays_on_a_parameter(mode: str) -> None:
    from client.private import engine

    model = Net({"a": linear(3, 2)})
    machine = engine(mode, model, one_group(model), learning_rate=1.0, divisor=1.0, noise=SecureNoise())
    machine.step(lambda: model.a(X[:, 0]).sum(1), *OWNERS)
    left = {name: value for p in model.parameters() for name, value in vars(p).items() if value is not None}
    assert not any(isinstance(value, torch.Tensor) for value in left.values())
    assert all(p.grad is None for p in model.parameters())


def test_a_tower_over_items_is_refused_since_items_belong_to_no_shopper() -> None:
    given = tables()
    given["tasks"]["next_item"]["content"] = ["price"]
    model = build(parse_federation(given), generator=seeded(), catalogues={"next_item": CATALOGUE})
    items = {"next_item": Batch(numeric=torch.zeros(CATALOGUE, 1))}
    whole = replace(batch_of("shared_bottom"), items=items)
    made = Bookkeeping(model, one_group(model), learning_rate=1.0, divisor=1.0, noise=SecureNoise())
    with pytest.raises(PrivacyError, match="rows of a batch"):
        made.step(lambda: model(whole, ["next_item"])["next_item"].logsumexp(-1), *OWNERS)
