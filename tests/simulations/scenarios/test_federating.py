"""Small merchants gain from federating where the oracle says so, and do not where it says not."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from client import serving_heads
from client.training import train_plain
from shared_model import schema
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import load, take
from simulations import runner
from simulations.datasets import read
from simulations.experiment import EXPERIMENTS, load_experiment
from simulations.runner import Request
from simulations.scenarios import ScenarioMarket, ShopRows, Shops, truths
from simulations.scenarios.options import Fixed

CONTRACT = schema.load_federation(EXPERIMENTS / "related.federation.toml")
ROUNDS, RATE = 15, 0.5
ALONE, OWN = 6.0, 60.0  # 1 / variance of a coefficient alone, and of the part of it that a merchant adds


def shops(relatedness: float, seed: int) -> Shops:
    size = Fixed(kind="fixed", rows=70)
    return Shops(ScenarioMarket(merchants=12, relatedness=relatedness, seed=seed, size=size), CONTRACT)


def federated(market: Shops) -> MultiTaskModel:
    """Plain federated averaging in memory: each merchant takes a step, the mean of the steps is taken."""
    model = build(CONTRACT, generator=torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(0)
    for _ in range(ROUNDS):
        start = take(model, model.shared_parameters())
        steps = []
        for shop in market.values():
            load(model, start)
            train_plain(model, shop, CONTRACT, draws)
            steps.append(take(model, model.shared_parameters()))
        mean = {n: torch.stack([s[n] for s in steps]).mean(0) for n in start}
        load(model, {n: start[n] + RATE * (mean[n] - start[n]) for n in start})
    return model


def loss_on_test(model: MultiTaskModel, shop: ShopRows, task: str, penalty: float) -> float:
    serving_heads.put(model, task, serving_heads.fit(model, shop, task, penalty=penalty))
    batch = shop.batch(shop.rows("test"), [task])
    with torch.no_grad():
        logits = model(batch, [task])[task]
    return float(row_losses(shop.tasks[task], logits, batch.labels[task]).value.mean())


def gains(relatedness: float, seed: int) -> list[float]:
    """Gain over training alone on both tasks, as a share of the loss alone, by merchant."""
    market = shops(relatedness, seed)
    shared, alone = federated(market), build(CONTRACT, generator=torch.Generator().manual_seed(0))
    found = []
    for shop in market.values():
        for task in CONTRACT.tasks:
            first = loss_on_test(alone, shop, task, ALONE)
            found.append(1 - loss_on_test(shared, shop, task, OWN) / first)
    return found


def foreseen(relatedness: float, seed: int) -> list[float]:
    return [a.gain for merchant in truths(shops(relatedness, seed).world).values() for a in merchant.values()]


def test_small_related_merchants_gain_and_the_oracle_says_so() -> None:
    # Mean gain over 24 cells of three markets; over seeds such a mean is 0.069 with a standard deviation of
    # 0.019 / sqrt(3), so that a false alarm is far rarer than one seed in a million. The seeds are fixed.
    assert np.mean([gains(0.97, seed) for seed in range(3)]) > 0.0
    assert np.mean([foreseen(0.97, seed) for seed in range(3)]) > 0.01


def test_merchants_that_are_not_related_do_not_gain_and_the_oracle_says_so() -> None:
    # Over seeds the mean is -0.12 with a standard deviation of 0.06 / sqrt(3): 3.6 of them from 0, a false
    # alarm in 6,000 seeds. The seeds are fixed.
    assert np.mean([gains(0.0, seed) for seed in range(3)]) < 0.0
    assert max(foreseen(0.0, seed=0)) == 0.0


def run_with_seed(name: str, seed: int, folder: Path) -> tuple[float, Any]:
    """Mean gain over merchants and tasks, in percent of the loss alone, and the market's truth."""
    given = tomllib.loads((EXPERIMENTS / f"{name}.toml").read_text(encoding="utf-8"))
    given["market"]["seed"] = seed
    contract = given["experiment"]["contract"]
    (folder / contract).write_text((EXPERIMENTS / contract).read_text(encoding="utf-8"))
    (folder / "this.toml").write_text(tomli_w.dumps(given))
    asked = Request(experiment=folder / "this.toml", data=None, out=folder / "out")
    result = runner.run(asked, lambda stage, done, total: None)
    percents = [line.gain_percent for line in result.summary if line.group == "all"]
    truth = read(load_experiment(folder / "this.toml").market, folder).truth
    return float(np.mean([p for p in percents if p is not None])), truth


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sign"), [("related", 1), ("unrelated", -1)])
def test_the_examples_come_out_as_the_oracle_says(name: str, sign: int, tmp_path: Path) -> None:
    folders = [tmp_path / str(seed) for seed in range(3)]
    for folder in folders:
        folder.mkdir()
    found = [run_with_seed(name, seed, folder) for seed, folder in enumerate(folders)]
    # Measured with these seeds: +4.6, +3.2 and +4.2 % related, -2.4, -5.2 and -4.0 % unrelated. A mean of
    # three lies some five standard errors from zero: a wrong sign is rarer than one in 10,000 choices.
    assert sign * np.mean([gain for gain, _ in found]) > 0
    assert all(task["helps"] == (sign > 0) for _, truth in found for task in truth["tasks"].values())
