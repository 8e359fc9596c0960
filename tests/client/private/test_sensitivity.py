"""Whatever a unit holds, it moves the sum by at most the clipping norm, and a broken one by nothing."""

from typing import cast

import pytest
import torch
from torch import Tensor

from client.private.ownership import trained
from client.private.records import clipped_sums, record
from client.private.units import Units
from shared_model.layers import Linear

from .graphs import (
    EVERY_ARCHITECTURE,
    EVERY_MODE,
    SEVERAL,
    Net,
    bank,
    batch_of,
    linear,
    model_of,
    one_group,
    seeded,
    stepped,
    table,
    task_losses,
)

C = 0.7
WITHOUT_THREE = SEVERAL != 3
"""Rows of all units but the one with four rows."""


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return float(torch.stack([(a[n].double() - b[n].double()).square().sum() for n in a]).sum().sqrt())


def moves(mode: str, model: Net, forward: object, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """How parameters that start at zero move, with and without unit 3."""
    groups = one_group(model, C)
    everybody = stepped(mode, model, forward, x, (SEVERAL, 7), groups)
    others = stepped(mode, model, forward, x[WITHOUT_THREE], (SEVERAL[WITHOUT_THREE], 7), groups)
    return everybody, others


def steep(z: Tensor) -> Tensor:
    return (1e3 * z).flatten(1).sum(1)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e6, 1e15, 1e25])
def test_no_input_however_large_or_small_moves_the_sum_by_more_than_the_bound(size: float) -> None:
    model = Net({"a": linear(50, 40)})
    torch.nn.init.zeros_(model.a.weight)
    torch.nn.init.zeros_(model.a.bias)
    x = torch.where((SEVERAL == 3).unsqueeze(1), size, 1e-30) * torch.randn(12, 50, generator=seeded())
    everybody, others = moves("bookkeeping", model, lambda m, x: steep(m.a(x)), x)
    assert distance(everybody, others) <= C * (1 + 1e-6)


def without_one_of(count: int, layer: Linear, clipping_norm: float, size: float = 10.0) -> float:
    """By how many clipping norms the sum moves when one of `count` units that all pull one way is removed."""
    model = Net({"a": layer})
    x = size * (0.5 + torch.rand(count, layer.weight.shape[1], generator=seeded()))
    group_of = trained(model, one_group(model, clipping_norm))
    sums = []
    for kept in (torch.arange(count), torch.arange(count) != count // 2):
        owners = Units(torch.arange(len(x[kept])), count)
        recorded = record(lambda kept=kept: (size * model.a(x[kept])).sum(1), owners)
        sums.append({p: cast(Tensor, found) for p, found in clipped_sums(recorded, group_of).items()})
    moved = [(sums[0][p].double() - sums[1][p].double()).square().sum() for p in group_of]
    return float(torch.stack(moved).sum().sqrt()) / clipping_norm


@pytest.mark.parametrize("clipping_norm", [1.0, 1e-3, 1e-9])
@pytest.mark.parametrize(("units", "inputs", "outputs"), [(100, 36, 5), (100_000, 36, 5), (9_000, 200, 100)])
def test_one_unit_among_many_that_pull_one_way_moves_the_sum_by_no_more_than_the_bound(
    units: int, inputs: int, outputs: int, clipping_norm: float
) -> None:
    # the last layer is large, and its sum in float64 because of its many entries
    assert without_one_of(units, linear(inputs, outputs), clipping_norm) <= 1 + 1e-6


def test_a_large_layer_in_a_batch_of_some_thousands_keeps_the_bound_up_to_what_is_documented() -> None:
    assert without_one_of(8_000, linear(200, 100), 1.0) <= 1 + 1e-4


@pytest.mark.parametrize(("clipping_norm", "size"), [(1e-3, 1e18), (1e-9, 1e17)])
@pytest.mark.parametrize("outputs", [1, 100])
def test_a_gradient_that_is_longer_than_float32_can_shrink_lets_in_no_more_than_the_bound(
    outputs: int, clipping_norm: float, size: float
) -> None:
    assert without_one_of(2, linear(50, outputs), clipping_norm, size) <= 1 + 1e-6


@pytest.mark.parametrize("rest", [0.0, 1e-7, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize(("most_pairs", "written_out"), [(2, False), (-1, True), (-1, False)])
def test_rows_that_cancel_leave_no_more_than_the_bound(
    rest: float, most_pairs: int, written_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.private.products.MOST_PAIRS", most_pairs)
    monkeypatch.setattr("client.private.rules._written_out_is_cheaper", lambda *sizes: written_out)
    model = Net({"a": linear(50, 40)})
    torch.nn.init.zeros_(model.a.weight)
    torch.nn.init.zeros_(model.a.bias)
    x = 1e6 * torch.randn(12, 50, generator=seeded())
    x[SEVERAL == 3] = x[0] * torch.tensor([1.0, -1.0, 1.0 + rest, -1.0]).unsqueeze(1)
    x[WITHOUT_THREE] *= 1e-30
    everybody, others = moves("bookkeeping", model, lambda m, x: steep(m.a(x)), x)
    assert distance(everybody, others) <= C * (1 + 1e-6)


def test_a_category_that_all_rows_of_a_unit_share_counts_once() -> None:
    model = Net({"t": table(5, 3)})
    torch.nn.init.zeros_(model.t.weight)
    ids = torch.full((12, 6), 2)
    everybody, others = moves("bookkeeping", model, lambda m, ids: steep(m.t(ids)), ids)
    assert distance(everybody, others) == pytest.approx(C, rel=1e-5)


@pytest.mark.parametrize("mode", EVERY_MODE)
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf")])
def test_a_unit_with_a_row_that_is_no_number_contributes_exactly_nothing(mode: str, poison: float) -> None:
    model = Net({"a": bank(2, 3, 4, shared_input=True), "b": bank(2, 4, 2, shared_input=False)})
    x = torch.randn(12, 3, generator=seeded())
    x[4, 1] = poison  # row 4 is one of the four of unit 3
    everybody, others = moves(mode, model, lambda m, x: steep(m.b(m.a(x).tanh()).sum(0)), x)
    assert distance(everybody, others) < 1e-6


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_a_unit_with_a_loss_that_is_no_number_contributes_exactly_nothing(mode: str) -> None:
    model = Net({"a": linear(3, 2)})
    x = torch.randn(12, 3, generator=seeded())
    bad = torch.zeros(12).index_fill_(0, torch.tensor([9]), float("inf"))  # another row of unit 3
    x = torch.cat([x, bad.unsqueeze(1)], 1)
    everybody, others = moves(mode, model, lambda m, x: steep(m.a(x[:, :3])) + x[:, 3], x)
    assert distance(everybody, others) < 1e-6


@pytest.mark.parametrize("mode", EVERY_MODE)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_one_overflowing_row_leaves_every_parameter_finite(architecture: str, mode: str) -> None:
    model, batch = model_of(architecture), batch_of(architecture)
    batch.numeric[5] = 3e38
    moved = stepped(mode, model, task_losses(architecture), batch, (SEVERAL, 7), one_group(model, C))
    assert all(bool(m.isfinite().all()) for m in moved.values())


def test_a_parameter_used_without_its_layer_gets_less_gradient_and_never_more() -> None:
    model = Net({"a": linear(3, 3)})
    x = torch.randn(12, 3, generator=seeded())

    def tied(m: Net, x: Tensor) -> Tensor:
        return steep(m.a(x) @ m.a.weight)

    everybody, others = moves("bookkeeping", model, tied, x)
    assert distance(everybody, others) <= C * (1 + 1e-6)
