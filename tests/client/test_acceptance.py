"""The federated model stays unless the evidence against it exceeds two standard errors."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from client import acceptance, serving_heads
from client.acceptance import accept
from client.alone import linear_model, untrained_linear_model
from client.measures.ranking import clustered_error
from client.merchant import Merchant
from shared_model.features import Batch
from shared_model.schema import Retrieval

from . import shops


def models(merchant: Merchant) -> tuple[object, object]:
    return untrained_linear_model(merchant.federation, merchant.dataset), linear_model(
        merchant.federation, merchant.dataset, penalty=1.0
    )


def test_clear_evidence_against_the_federated_model_is_heard(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    constant, fitted = models(merchant)
    found = accept("amount", merchant.dataset, constant, fitted, "validation")  # type: ignore[arg-type]
    assert found.choice == "alone"
    assert found.advantage > 2 * found.standard_error
    assert found.rows == 10


def test_the_better_federated_model_stays(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    constant, fitted = models(merchant)
    assert accept("amount", merchant.dataset, fitted, constant, "validation").choice == "federated"  # type: ignore[arg-type]


def test_a_merchant_may_serve_it_always(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    constant, fitted = models(merchant)
    assert accept("amount", merchant.dataset, constant, fitted, "always").choice == "federated"  # type: ignore[arg-type]


def test_a_lead_within_two_standard_errors_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant = shops.merchant(tmp_path)
    constant, fitted = models(merchant)
    # mean 0.5, standard deviation sqrt(5/3), standard error 0.65: the lead is below 1.29
    monkeypatch.setattr(merchant.dataset, "rows", lambda *_, **__: torch.arange(4))  # of four shoppers
    monkeypatch.setattr(acceptance, "_advantage", lambda *_: torch.tensor([2.0, -1.0, 1.0, 0.0]).double())
    found = accept("amount", merchant.dataset, constant, fitted, "validation")  # type: ignore[arg-type]
    assert found.choice == "federated"
    assert found.advantage == 0.5


def test_one_row_of_evidence_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merchant = shops.merchant(tmp_path)
    constant, fitted = models(merchant)
    monkeypatch.setattr(merchant.dataset, "rows", lambda *_, **__: torch.arange(1))
    monkeypatch.setattr(acceptance, "_advantage", lambda *_: torch.tensor([9.0]).double())
    assert accept("amount", merchant.dataset, constant, fitted, "validation").choice == "federated"  # type: ignore[arg-type]


def test_rows_of_one_shopper_are_one_piece_of_evidence() -> None:
    better = torch.tensor([3.0, 3.0, 1.0, 1.0]).double()
    # four shoppers: sqrt(4/3) / 2; two shoppers with two equal rows each: sums +2 and -2, sqrt(8 * 2) / 4
    assert clustered_error(better, torch.arange(4)) == pytest.approx((4 / 3) ** 0.5 / 2)
    assert clustered_error(better, torch.tensor([7, 7, 9, 9])) == pytest.approx(1.0)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e30])
def test_a_federated_model_without_finite_answers_is_not_served(tmp_path: Path, wrong: float) -> None:
    merchant = shops.merchant(tmp_path)
    broken, fitted = models(merchant)
    torch.nn.init.constant_(broken.head("amount").own.bias, wrong)  # type: ignore[attr-defined]
    assert accept("amount", merchant.dataset, broken, fitted, "validation").choice == "alone"  # type: ignore[arg-type]


def test_the_linear_model_alone_is_shrunk_to_public_constants(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    free = linear_model(merchant.federation, merchant.dataset, penalty=1)
    held = linear_model(merchant.federation, merchant.dataset, penalty={"bought": 1e9, "amount": 1.0})
    assert held.head("bought").own.weight.abs().max() < 1e-4 < free.head("bought").own.weight.abs().max()
    torch.testing.assert_close(held.head("amount").own.weight, free.head("amount").own.weight)
    assert serving_heads.fit(free, merchant.dataset, "amount", penalty=1.0).weight.shape == (1, 2)


class Choosing:
    """A catalogue of two items; everybody chooses the first one."""

    tasks = {"next_item": Retrieval(kind="retrieval")}  # noqa: RUF012
    catalogues = {"next_item": tuple(map(str, range(20)))}  # noqa: RUF012

    def __init__(self, rows: int) -> None:
        self.count, self.unit = rows, np.arange(rows)

    def rows(self, split: str, *, kind: str | None = None, task: str | None = None) -> Tensor:
        return torch.arange(self.count)

    def batch(self, rows: Tensor, tasks: object = None) -> Batch:
        return Batch(numeric=torch.zeros(len(rows), 0), labels={"next_item": torch.zeros(len(rows))})


@pytest.mark.parametrize(("rows", "choice"), [(199, "floor"), (200, "federated")])
def test_the_floor_of_item_choice_stays_until_many_rows_speak_against_it(
    rows: int, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = torch.arange(20.0).expand(rows, 20)  # the floor ranks the first item last, the model first
    monkeypatch.setattr(acceptance, "_contestants", lambda *a: (ranks[: len(a[-1])], -ranks[: len(a[-1])]))
    found = accept("next_item", Choosing(rows), None, None, "validation")  # type: ignore[arg-type]
    assert (found.choice, found.advantage) == (choice, 1.0)
