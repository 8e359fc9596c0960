"""Baselines get everything that the federation gets, so that a gain over them is a gain."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from client.alone import linear_model
from client.data.dataset import Dataset
from client.merchant import Merchant
from shared_model.model import build
from simulations import baselines, pooling
from simulations.baselines import fitted, in_one_place, trained_parameters
from simulations.experiment import Baselines
from simulations.scores import Key, Scores, constant_scores, scores_of
from tests.client import shops

FEW = Baselines(epochs=30, hidden=(8,), learning_rate=0.02)
LOCAL_HEAD = {"amount": {"kind": "regression", "scale": 0.5, "head": "local", "residual_penalty": 10.0}}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def mean(scores: Scores, task: str = "amount") -> float:
    return float(scores[Key("acme", task, "test")].mean())


def constant(dataset: Dataset) -> float:
    return mean(constant_scores("acme", dataset, "test"))


def merchant(folder: Path, **changes: Any) -> Merchant:
    return shops.merchant(folder, agreement=shops.contract(**changes))


@pytest.mark.parametrize("tasks", [{}, LOCAL_HEAD], ids=["residual head", "local head"])
def test_a_network_alone_learns_whatever_the_contract_shares_of_heads(tmp_path: Path, tasks: Any) -> None:
    shop = merchant(tmp_path, tasks=tasks)
    found = baselines.single_task(shop.federation, "acme", shop.dataset, FEW, generator())
    assert mean(found) < 0.3 * constant(shop.dataset)


def test_a_network_alone_learns_its_gates_and_tables_of_local_scope(tmp_path: Path) -> None:
    shop = merchant(tmp_path)
    model = build(shop.federation, generator=generator())
    begun = {name: p.detach().clone() for name, p in model.named_parameters()}
    best = fitted(model, shop.dataset, ["amount", "bought"], FEW, generator())["amount"].model
    moved = {name for name, p in best.named_parameters() if not torch.equal(p, begun[name])}
    assert {"bottom.gate.weight", "encoder.tables.shelf.weight"} <= moved
    assert not [name for name in moved if ".own." in name]


def test_pooled_rows_are_served_by_the_gate_they_were_trained_with(tmp_path: Path) -> None:
    held = {"kind": "regression", "scale": 0.5, "residual_penalty": 1e9}  # so the residual stays at zero
    shop = merchant(tmp_path, tasks={"amount": held})
    found = pooling.pooled(shop.federation, {"acme": shop.dataset}, FEW, generator())
    model = build(shop.federation, generator=generator())
    best = fitted(model, shop.dataset, ["bought", "amount"], FEW, generator())["amount"]
    alone = scores_of(best.model, "acme", shop.dataset, "test", tasks=["amount"], own=False)
    assert mean(found) == pytest.approx(mean(alone), rel=1e-4)


def test_every_task_has_a_prior_where_all_rows_are_in_one_place(tmp_path: Path) -> None:
    model = build(in_one_place(merchant(tmp_path, tasks=LOCAL_HEAD).federation), generator=generator())
    assert "heads.amount.prior.weight" in trained_parameters(model)
    assert not [name for name in trained_parameters(model) if ".own." in name]


def test_without_validation_rows_the_linear_baseline_takes_the_clients_own_strength(tmp_path: Path) -> None:
    split = {"validation_from": date(2024, 2, 18), "test_from": date(2024, 2, 19)}
    shop = shops.merchant(
        tmp_path, table=shops.examples().filter(pl.col("day") != date(2024, 2, 18)), split=split
    )
    assert len(shop.dataset.rows("validation")) == 0
    alone = linear_model(shop.federation, shop.dataset)
    expected = scores_of(alone, "acme", shop.dataset, "test", tasks=["amount"])
    assert mean(baselines.linear(shop.federation, {"acme": shop.dataset})) == pytest.approx(mean(expected))
