"""The ways that the benchmark compares compute the same thing, and its figures are what they say."""

import pytest
import torch

from client.private import SecureNoise
from simulations.benchmarks import private, private_exactness
from simulations.benchmarks.private_steps import (
    batches,
    federation,
    losses,
    private_engine,
    private_model,
    private_step,
)
from simulations.benchmarks.private_stock import StockModel, stock_losses, stock_rows

BUCKETS, ROWS = 50, 8


@pytest.mark.parametrize("tables", [1, 26])
def test_the_stock_model_with_the_same_weights_has_the_same_losses(tables: int) -> None:
    contract, rows = federation(BUCKETS), batches(ROWS, 1, BUCKETS)
    ours, stock = private_model(contract), StockModel(tables, sparse=True, buckets=BUCKETS)
    weights = [t.weight for t in ours.encoder.tables.values()]
    places = [t.weight for t in stock.tables]
    with torch.no_grad():
        for place, weight in zip(places, [torch.cat(weights)] if tables == 1 else weights, strict=True):
            place.copy_(weight)
    linear = [layer for layer in stock.tower if isinstance(layer, torch.nn.Linear)]
    first = ours.bottom.tower.layers[0]
    numbers = first.weight.shape[1] - 26 * 16
    swapped = torch.cat([first.weight[:, numbers:], first.weight[:, :numbers]], 1)  # ours reads numbers first
    with torch.no_grad():
        linear[0].weight.copy_(swapped)
        linear[0].bias.copy_(first.bias)
    for mine, theirs in zip(ours.bottom.tower.layers[1:], linear[1:], strict=True):
        theirs.load_state_dict(mine.state_dict())
    for task, head in zip(contract.tasks, stock.heads, strict=True):
        head.load_state_dict(ours.head(task).own.state_dict())
    ids, numeric, labels, present = stock_rows(rows, tables, BUCKETS)[0]
    found = stock_losses(stock(ids, numeric), labels, present)
    torch.testing.assert_close(found, losses(ours, contract, rows[0]))


def test_a_private_step_moves_every_table_once_it_is_released() -> None:
    contract, rows = federation(BUCKETS), batches(ROWS, 1, BUCKETS)
    model = private_model(contract)
    before = [t.weight.detach().clone() for t in model.encoder.tables.values()]
    machine = private_engine(model, ROWS, SecureNoise())
    private_step(model, contract, rows, machine)(0)
    machine.release()
    after = [t.weight.detach() for t in model.encoder.tables.values()]
    assert all(bool((a != b).all()) for a, b in zip(after, before, strict=True))


@pytest.mark.slow
def test_the_engine_is_exact_and_its_sensitivity_bounded() -> None:
    assert private_exactness.deviation() <= 1e-6
    assert private_exactness.sensitivity() <= 1 + 1e-6


def test_a_ratio_is_that_of_neighbouring_steps() -> None:
    assert private._ratio({"a": [2.0, 30.0, 4.0], "b": [1.0, 10.0, 2.0, 9.0]}, "a", "b") == 2.0
