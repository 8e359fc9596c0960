"""Proximal Adam is Adam without a pull, the anchor under an infinite one, and ends at the optimum between."""

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from client.personalization.descent import descend
from client.personalization.start import Pull, pulls
from client.training import multitask_loss

from . import starts


def test_without_a_pull_it_is_adam_on_the_mean_loss(tmp_path: Path) -> None:
    start = starts.start(tmp_path, "mmoe")
    model, plain = copy.deepcopy(start.model), copy.deepcopy(start.model)
    free = {name: Pull(value, 0.0) for name, value in starts.everything(model).items()}
    descend(model, start.dataset, free, start.generator, steps=2, learning_rate=0.1)
    optimizer, rows = torch.optim.Adam(plain.parameters()), start.dataset.rows("train")
    batch, tasks = start.dataset.batch(rows), list(start.dataset.tasks)
    optimizer.param_groups[0]["lr"] = 0.1  # half a cosine over two steps: the whole rate, then half of it
    multitask_loss(plain, start.dataset, batch, tasks, {"table": float(len(rows))}).backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.param_groups[0]["lr"] = 0.05
    multitask_loss(plain, start.dataset, batch, tasks, {"table": float(len(rows))}).backward()
    optimizer.step()
    assert starts.far(model, plain) < 1e-6


def test_an_infinite_pull_is_the_anchor(tmp_path: Path) -> None:
    start = replace(starts.start(tmp_path), strength=math.inf)
    model = copy.deepcopy(start.model)
    descend(model, start.dataset, pulls(start, own={}), start.generator, steps=3, learning_rate=1.0)
    assert starts.far(model, start.model) == 0.0


def test_it_ends_where_loss_and_pull_are_in_balance(tmp_path: Path) -> None:
    # d/dv (sum of losses) = -strength (v - anchor), checked on a prior's bias
    start = replace(starts.start(tmp_path, "wide"), strength=7.0)
    model = copy.deepcopy(start.model)
    anchors = pulls(start, own=dict.fromkeys(start.dataset.tasks, 7.0))
    descend(model, start.dataset, anchors, start.generator, steps=200, learning_rate=0.2)
    rows, tasks = start.dataset.rows("train"), list(start.dataset.tasks)
    multitask_loss(model, start.dataset, start.dataset.batch(rows), tasks, {"table": 1.0}).backward()
    parameter = dict(model.named_parameters())["heads.amount.prior.bias"]
    moved = parameter.detach() - anchors["heads.amount.prior.bias"].anchor
    assert moved.abs().item() > 0.01
    assert parameter.grad is not None
    assert parameter.grad.item() == pytest.approx(-7.0 * moved.item(), rel=2e-2)


def test_rows_drawn_in_small_steps_lead_to_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = replace(starts.start(tmp_path, "wide"), strength=20.0)
    whole, drawn = copy.deepcopy(start.model), copy.deepcopy(start.model)
    anchors = pulls(start, own=dict.fromkeys(start.dataset.tasks, 20.0))
    descend(whole, start.dataset, anchors, start.generator, steps=100, learning_rate=0.1)
    monkeypatch.setattr("client.personalization.descent.BATCH", 20)
    descend(drawn, start.dataset, anchors, start.generator, steps=100, learning_rate=0.1)
    assert starts.far(whole, drawn) < 0.05 < starts.far(whole, start.model)


def test_a_merchant_without_training_rows_changes_nothing(tmp_path: Path) -> None:
    start = starts.start(
        tmp_path, table=starts.shops.examples(), split={"validation_days": 55, "test_days": 5}
    )
    model = copy.deepcopy(start.model)
    descend(model, start.dataset, pulls(start, own={}), start.generator)
    assert starts.far(model, start.model) == 0.0
