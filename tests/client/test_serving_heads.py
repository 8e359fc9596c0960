"""Serving heads are the solution of a convex problem, so they can be checked against another solver."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.optimize import minimize

from client import serving_heads
from client.alone import untrained_linear_model
from shared_model.losses import row_losses

from . import shops


def test_a_regression_head_is_ridge_regression(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    model = untrained_linear_model(merchant.federation, merchant.dataset)
    rows = merchant.dataset.rows("train", task="amount")
    batch = merchant.dataset.batch(rows, ["amount"])
    z = np.c_[batch.numeric.numpy(), np.ones(len(rows))].astype(float)
    expected = np.linalg.solve(z.T @ z + 7.0 * np.eye(3), z.T @ batch.labels["amount"].numpy())
    head = serving_heads.fit(model, merchant.dataset, "amount", penalty=7.0)
    np.testing.assert_allclose([*head.weight[0].tolist(), head.bias.item()], expected, rtol=1e-5)


def test_a_binary_head_minimises_the_penalised_logistic_loss(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    model = untrained_linear_model(merchant.federation, merchant.dataset)
    batch = merchant.dataset.batch(merchant.dataset.rows("train", task="bought"), ["bought"])
    z = torch.cat([batch.numeric, torch.ones(len(batch), 1)], 1).double()
    offset = model.head("bought").prior(batch.numeric).double().detach()  # type: ignore[misc]

    def objective(w: np.ndarray) -> float:
        logits = offset + z @ torch.from_numpy(w).unsqueeze(1)
        losses = row_losses(merchant.dataset.tasks["bought"], logits, batch.labels["bought"].double()).value
        return float(losses.sum() + 3.5 * (w**2).sum())

    expected = minimize(objective, np.zeros(3), tol=1e-10).x
    head = serving_heads.fit(model, merchant.dataset, "bought", penalty=7.0)
    np.testing.assert_allclose([*head.weight[0].tolist(), head.bias.item()], expected, rtol=2e-3, atol=1e-4)


def test_rows_in_many_chunks_give_the_same_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merchant = shops.merchant(tmp_path)
    model = untrained_linear_model(merchant.federation, merchant.dataset)
    whole = serving_heads.fit(model, merchant.dataset, "bought", penalty=7.0)
    monkeypatch.setattr(serving_heads, "_CHUNK", 7)
    chunked = serving_heads.fit(model, merchant.dataset, "bought", penalty=7.0)
    torch.testing.assert_close(chunked.weight, whole.weight, rtol=1e-5, atol=1e-6)


def test_an_infinite_pull_leaves_the_prior_as_it_is(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    model = untrained_linear_model(merchant.federation, merchant.dataset)
    head = serving_heads.fit(model, merchant.dataset, "bought", penalty=1e12)
    assert head.weight.abs().max().item() == pytest.approx(0.0, abs=1e-6)
    assert head.bias.item() == pytest.approx(0.0, abs=1e-6)


def test_without_rows_the_head_is_its_start(tmp_path: Path) -> None:
    merchant = shops.merchant(tmp_path)
    model = untrained_linear_model(merchant.federation, merchant.dataset)
    head = serving_heads.fit(model, merchant.dataset, "amount", rows=torch.zeros(0, dtype=torch.long))
    assert head.weight.abs().max() == 0
    assert head.bias.item() == model.head("amount").start


def test_a_hostile_release_cannot_make_the_fit_fail_where_a_certain_row_is_there(tmp_path: Path) -> None:
    """Huge and equal representations leave nothing of the pull; the head stays where it starts."""
    merchant = shops.merchant(tmp_path)
    model = merchant._build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1e10 if name.startswith("bottom.") else 0.0)
    head = serving_heads.fit(model, merchant.dataset, "amount")
    assert (head.weight.abs().max().item(), head.bias.item()) == (0.0, 0.0)


def test_along_a_chain_the_head_is_fitted_on_top_of_the_product(tmp_path: Path) -> None:
    merchant = shops.merchant(
        tmp_path,
        agreement=shops.contract(
            tasks={"big": {"kind": "binary", "initial": 0.2}},
            bottom={"architecture": "cascade", "chain": ["bought", "big"], "hidden": [2]},
        ),
        table=shops.examples().with_columns(big=(pl.col("bought") * (pl.col("amount") > 1)).cast(int)),
        labels={task: task for task in ("bought", "amount", "big")},
    )
    model = merchant._build()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(parameter.numel()))
    batch = merchant.dataset.batch(merchant.dataset.rows("train", task="big"), ["big"])
    with torch.no_grad():
        z = torch.cat([model.represent(batch)["big"], torch.ones(len(batch), 1)], 1).double()
        links = [
            model.head(t).shared(model.represent(batch)[t]).double().sigmoid() for t in ("bought", "big")
        ]
    offset = (links[0] * links[1]).logit()

    def objective(w: np.ndarray) -> float:
        logits = offset + z @ torch.from_numpy(w).unsqueeze(1)
        losses = row_losses(merchant.dataset.tasks["big"], logits, batch.labels["big"].double()).value
        return float(losses.sum() + 3.5 * (w**2).sum())

    expected = minimize(objective, np.zeros(3), tol=1e-10).x
    head = serving_heads.fit(model, merchant.dataset, "big", penalty=7.0)
    np.testing.assert_allclose([*head.weight[0].tolist(), head.bias.item()], expected, rtol=2e-3, atol=1e-4)
