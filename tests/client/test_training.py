"""Local training is what the papers say, row by row."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from client.evaluation import logits_of
from client.training import multitask_loss, train_plain
from shared_model.features import Batch
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import take
from shared_model.schema import Federation, parse_federation

NAN = float("nan")


class TwoRows:
    """Two rows of one feature x = 1 and x = 2, labels y = 3 and none."""

    rows_of = {"amount": "table"}  # noqa: RUF012
    own_tasks: frozenset[str] = frozenset()

    def __init__(self, federation: Federation) -> None:
        self.tasks = federation.tasks

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
        return torch.arange(2) if split == "train" else torch.zeros(0, dtype=torch.long)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        return Batch(
            numeric=torch.tensor([[1.0], [2.0]])[rows], labels={"amount": torch.tensor([3.0, NAN])[rows]}
        )


def federation(**changes: object) -> Federation:
    tables = {
        "federation": {"name": "tiny", "rounds": 1, "expected_batch": 10, "full_batch": True},
        "local": {"learning_rate": 0.5},
        "features": {"x": {"kind": "numeric"}},
        "tasks": {"amount": {"kind": "regression"}},
        "bottom": {"architecture": "wide"},
    }
    for key, value in changes.items():
        tables[key] = {**tables[key], **value}  # type: ignore[dict-item]
    return parse_federation(tables)


def trained(agreement: Federation) -> MultiTaskModel:
    model = build(agreement, generator=torch.Generator())
    train_plain(model, TwoRows(agreement), agreement, torch.Generator().manual_seed(0))
    return model


def prior(model: MultiTaskModel) -> list[float]:
    shared = take(model, model.shared_parameters())
    return [shared["heads.amount.prior.weight"].item(), shared["heads.amount.prior.bias"].item()]


def test_a_step_by_hand() -> None:
    # Only the first row has a label. Gradient of (0 - 3)^2 / 2 / B at zero weights: -3/10 for x = 1 and for
    # the bias. A step of 0.5 against it: 0.15 each.
    assert prior(trained(federation())) == pytest.approx([0.15, 0.15])


def test_the_divisor_is_the_public_batch_not_the_number_of_rows() -> None:
    halved = federation(federation={"expected_batch": 20})
    assert prior(trained(halved)) == pytest.approx([0.075, 0.075])


def test_a_task_weight_scales_its_gradient() -> None:
    heavier = federation(tasks={"amount": {"kind": "regression", "weight": 2.0}})
    assert prior(trained(heavier)) == pytest.approx([0.3, 0.3])


def test_two_steps_by_hand() -> None:
    # After the first step the prediction is 0.3, so the second gradient is -2.7/10: 0.15 + 0.135.
    assert prior(trained(federation(federation={"local_steps": 2}))) == pytest.approx([0.285, 0.285])


def test_the_proximal_term_pulls_back_to_where_the_round_began() -> None:
    # In the second step it adds mu * 0.15 = 0.15 to the gradient -0.27: 0.15 + 0.5 * 0.12.
    agreement = federation(federation={"local_steps": 2}, local={"proximal": 1.0})
    assert prior(trained(agreement)) == pytest.approx([0.21, 0.21])


def test_a_private_residual_stays_zero_unless_the_contract_trains_it() -> None:
    head = trained(federation()).head("amount")
    assert head.own.weight.abs().max() == 0
    assert trained(federation(local={"train_residuals": True})).head(
        "amount"
    ).own.weight.item() == pytest.approx(0.15)


def test_a_merchant_without_rows_changes_nothing() -> None:
    agreement = federation()

    class NoRows(TwoRows):
        def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
            return torch.zeros(0, dtype=torch.long)

    model = build(agreement, generator=torch.Generator())
    train_plain(model, NoRows(agreement), agreement, torch.Generator())
    assert prior(model) == [0.0, 0.0]


def test_batches_cover_every_row_before_any_comes_again() -> None:
    agreement = federation(federation={"local_steps": 4, "expected_batch": 1, "full_batch": False})
    drawn: list[int] = []

    class Watched(TwoRows):
        def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
            drawn.extend(rows.tolist())
            return super().batch(rows, tasks)

    train_plain(
        build(agreement, generator=torch.Generator()), Watched(agreement), agreement, torch.Generator()
    )
    assert sorted(drawn[:2]) == sorted(drawn[2:]) == [0, 1]


def test_the_loss_of_all_rows_is_the_sum_of_their_losses() -> None:
    agreement = federation()
    model, data = build(agreement, generator=torch.Generator()), TwoRows(agreement)
    together = multitask_loss(model, data, data.batch(torch.arange(2)), ["amount"], {"table": 1.0})
    alone = [
        multitask_loss(model, data, data.batch(torch.tensor([i])), ["amount"], {"table": 1.0}) for i in (0, 1)
    ]
    assert together.item() == pytest.approx(sum(loss.item() for loss in alone)) == pytest.approx(4.5)


class Pictured(TwoRows):
    """The same rows with a picture of one pixel each; none has a number."""

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        return replace(
            super().batch(rows, tasks),
            numeric=torch.full((2, 1), NAN)[rows],
            vectors={"picture": torch.ones(2, 1)[rows]},
        )


def pictured(dropout: float) -> Federation:
    picture = {"kind": "vector", "length": 1, "width": 1, "dropout": dropout}
    return federation(
        features={"x": {"kind": "numeric"}, "picture": picture},
        bottom={"architecture": "shared_bottom", "hidden": [2]},
        local={"learning_rate": 0.5, "proximal": 0.0},
    )


def projection_moved(dropout: float) -> bool:
    agreement = pictured(dropout)
    model = build(agreement, generator=torch.Generator().manual_seed(1))
    head = dict(model.named_parameters())["heads.amount.prior.weight"]
    torch.nn.init.ones_(head)
    before = take(model, ["encoder.projections.picture.weight"])
    train_plain(model, Pictured(agreement), agreement, torch.Generator().manual_seed(0))
    after = take(model, ["encoder.projections.picture.weight"])
    return not torch.equal(*before.values(), *after.values())


def test_a_hidden_vector_trains_nothing() -> None:
    assert projection_moved(dropout=0.0)
    assert not projection_moved(dropout=1 - 1e-9)


def test_a_vector_is_never_hidden_where_the_model_serves() -> None:
    agreement = pictured(1 - 1e-9)
    model = build(agreement, generator=torch.Generator().manual_seed(1))
    row, data = torch.tensor([0]), Pictured(agreement)
    served = logits_of(model, data, "amount", row)
    assert torch.equal(served, model(data.batch(row))["amount"])
    assert model.encoder(data.batch(row)).embedded.any()
