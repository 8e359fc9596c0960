"""The sum of clipped gradients is, to rounding, what a loop over units in float64 computes."""

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from client.private import Group, products, rules
from shared_model import schema
from shared_model.layers import side_by_side
from tests.shared_model.contracts import contract

from .graphs import (
    EVERY_ARCHITECTURE,
    EVERY_MODE,
    KINDS,
    LABELS,
    ROWS,
    UNITS,
    Net,
    bank,
    batch_of,
    clipped_loop,
    deviation,
    linear,
    model_of,
    one_group,
    rows_in_double,
    seeded,
    stepped,
    table,
    task_losses,
)

X = torch.randn(ROWS, 3, generator=seeded(1))
SEQUENCE = torch.randn(ROWS, 4, 3, generator=seeded(2))
IDS = torch.randint(0, 4, (ROWS,), generator=seeded(3))
BAGS = torch.randint(0, 4, (ROWS, 5), generator=seeded(4))


def surprise(z: Tensor) -> Tensor:
    """A loss per row without symmetries."""
    return (z.flatten(1) + 0.3 * z.flatten(1).square()).sin().mul(2).sum(1)


GRAPHS = {
    "linear": (Net({"a": linear(3, 2)}), X, lambda m, x: surprise(m.a(x))),
    "linear without bias": (Net({"a": linear(3, 2, bias=False)}), X, lambda m, x: surprise(m.a(x))),
    "linear on a sequence": (Net({"a": linear(3, 2)}), SEQUENCE, lambda m, x: surprise(m.a(x).mean(1))),
    "linear used twice": (Net({"a": linear(3, 3)}), X, lambda m, x: surprise(m.a(m.a(x).tanh()))),
    "linear, once on a sequence": (
        Net({"a": linear(3, 3)}), SEQUENCE, lambda m, x: surprise(m.a(m.a(x).tanh().sum(1))),
    ),
    "two layers": (Net({"a": linear(3, 4), "b": linear(4, 2)}), X, lambda m, x: surprise(m.b(m.a(x).relu()))),
    "bank, one input": (
        Net({"a": bank(3, 3, 2, shared_input=True)}), X, lambda m, x: surprise(m.a(x).prod(0)),
    ),
    "bank, own inputs": (
        Net({"a": bank(3, 3, 4, shared_input=True), "b": bank(3, 4, 2, shared_input=False)}), X,
        lambda m, x: surprise(m.b(m.a(x).tanh()).prod(0)),
    ),
    "bank used twice": (
        Net({"a": bank(2, 3, 3, shared_input=True)}), X, lambda m, x: surprise(m.a(m.a(x).prod(0)).sum(0)),
    ),
    "table": (Net({"t": table(4, 2)}), IDS, lambda m, ids: surprise(m.t(ids))),
    "table of bags": (Net({"t": table(4, 2)}), BAGS, lambda m, ids: surprise(m.t(ids).sum(1))),
    "table of sequences": (
        Net({"t": table(4, 3), "a": linear(3, 2)}), BAGS,
        lambda m, ids: surprise(m.a(m.t(ids)).tanh().mean(1)),
    ),
    "table used three times": (
        Net({"t": table(4, 2)}), BAGS,
        lambda m, ids: surprise(m.t(ids).sum(1) * m.t(ids[:, 0]) + m.t(ids[:, :2]).mean(1)),
    ),
    "two tables": (
        Net({"t": table(4, 2), "u": table(5, 2)}), BAGS,
        lambda m, ids: surprise(m.t(ids[:, 0]) * m.u(ids[:, 1])),
    ),
    "two tables side by side": (
        Net({"t": table(4, 2), "u": table(5, 2)}), BAGS,
        lambda m, ids: surprise(side_by_side([m.t, m.u], [ids[:, 0], ids[:, 1]])),
    ),
    "tables side by side, one of them read again": (
        Net({"t": table(4, 2), "u": table(5, 2)}), BAGS,
        lambda m, ids: surprise(
            side_by_side([m.t, m.u], [ids[:, 0], ids[:, 1]]) * m.t(ids[:, 2:]).mean(1).repeat(1, 2)
        ),
    ),
    "tables of two widths side by side": (
        Net({"t": table(4, 2), "u": table(5, 3)}), BAGS,
        lambda m, ids: surprise(side_by_side([m.t, m.u], [ids[:, 0], ids[:, 1]])),
    ),
}  # fmt: skip


def double(inputs: Tensor) -> Tensor:
    return inputs.double() if inputs.is_floating_point() else inputs


@pytest.mark.parametrize("clipping_norm", [0.05, 1.0, 50.0])
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_every_layer_is_clipped_as_a_loop_would(graph: str, units: str, clipping_norm: float) -> None:
    model, inputs, forward = GRAPHS[graph]
    groups = one_group(model, clipping_norm)
    moved = stepped("bookkeeping", model, forward, inputs, UNITS[units], groups)
    exact = clipped_loop(model, forward, lambda chosen: double(inputs[chosen]), UNITS[units], groups)
    assert deviation(moved, exact) < 1e-6 * max(1.0, clipping_norm)


@pytest.mark.parametrize("written_out", [True, False])
@pytest.mark.parametrize("graph", ["linear on a sequence", "linear used twice", "bank, own inputs"])
def test_both_ways_to_the_norm_of_a_sum_are_exact(
    graph: str, written_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs, forward = GRAPHS[graph]
    monkeypatch.setattr(products, "MOST_PAIRS", -1)
    monkeypatch.setattr(rules, "_written_out_is_cheaper", lambda *sizes: written_out)
    monkeypatch.setattr(rules, "_BLOCK", 100)
    groups = one_group(model, 0.5)
    owners = UNITS["several rows per unit"]
    moved = stepped("bookkeeping", model, forward, inputs, owners, groups)
    exact = clipped_loop(model, forward, lambda chosen: double(inputs[chosen]), owners, groups)
    assert deviation(moved, exact) < 1e-6


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_every_architecture_with_every_feature_and_head_is_clipped_as_a_loop_would(
    architecture: str, units: str
) -> None:
    model, batch, forward = model_of(architecture), batch_of(architecture), task_losses(architecture)
    groups = one_group(model)
    moved = stepped("bookkeeping", model, forward, batch, UNITS[units], groups)
    exact = clipped_loop(model, forward, rows_in_double(batch), UNITS[units], groups)
    assert deviation(moved, exact) < 1e-6


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_the_reference_computes_the_same_sum(architecture: str, units: str) -> None:
    model, batch, forward = model_of(architecture), batch_of(architecture), task_losses(architecture)
    groups = one_group(model)
    ours = stepped("bookkeeping", model, forward, batch, UNITS[units], groups)
    opacus = stepped("hooks", model, forward, batch, UNITS[units], groups)
    assert (
        deviation(ours, {name: -moved for name, moved in opacus.items()}) < 2e-6
    )  # Opacus adds 1e-6 to norms


@pytest.mark.parametrize("graph", GRAPHS)
def test_the_reference_has_a_rule_for_every_use_of_a_layer(graph: str) -> None:
    model, inputs, forward = GRAPHS[graph]
    groups = one_group(model)
    owners = UNITS["several rows per unit"]
    ours = stepped("bookkeeping", model, forward, inputs, owners, groups)
    opacus = stepped("hooks", model, forward, inputs, owners, groups)
    assert deviation(ours, {name: -moved for name, moved in opacus.items()}) < 3e-6


@pytest.mark.parametrize("mode", EVERY_MODE)
@pytest.mark.parametrize("architecture", EVERY_ARCHITECTURE)
def test_without_noise_and_bound_a_step_is_plain_sgd(architecture: str, mode: str) -> None:
    model, batch, forward = model_of(architecture), batch_of(architecture), task_losses(architecture)
    groups = one_group(model, float("inf"))
    moved = stepped(
        mode, model, forward, batch, UNITS["several rows per unit"], groups, learning_rate=0.1, divisor=4.0
    )
    before = dict(model.named_parameters())
    plain = torch.autograd.grad(forward(model, batch).sum() / 4.0, list(before.values()), allow_unused=True)
    expected = {
        n: -0.1 * (torch.zeros_like(p) if g is None else g)
        for (n, p), g in zip(before.items(), plain, strict=True)
    }
    torch.testing.assert_close(moved, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_a_head_that_no_row_uses_does_not_move_and_does_not_disturb(mode: str) -> None:
    model, batch, forward = model_of("mmoe"), batch_of("mmoe"), task_losses("mmoe", ["late", "mood"])
    groups = one_group(model)
    owners = UNITS["several rows per unit"]
    moved = stepped(mode, model, forward, batch, owners, groups)
    exact = clipped_loop(model, forward, rows_in_double(batch), owners, groups)
    assert deviation(moved, exact) < 2e-6
    assert not any(moved[name].any() for name in moved if name.startswith("heads.days."))


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_groups_are_clipped_each_to_its_own_norm(mode: str) -> None:
    model, batch, forward = model_of("wide"), batch_of("wide"), task_losses("wide")
    groups = [
        Group(
            name=task,
            parameters=tuple(n for n, _ in model.named_parameters() if n.startswith(f"heads.{task}.")),
            clipping_norm=0.1 * (position + 1),
            noise_std=0.0,
        )
        for position, task in enumerate(model.heads)
    ]
    owners = UNITS["several rows per unit"]
    moved = stepped(mode, model, forward, batch, owners, groups)
    exact = clipped_loop(model, forward, rows_in_double(batch), owners, groups)
    assert deviation(moved, exact) < 5e-6


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_a_parameter_in_no_group_stays_and_is_not_clipped_with_the_others(mode: str) -> None:
    model, batch, forward = model_of("shared_bottom"), batch_of("shared_bottom"), task_losses("shared_bottom")
    shared = tuple(model.shared_parameters())
    groups = [Group(name="shared", parameters=shared, clipping_norm=0.5, noise_std=0.0)]
    owners = UNITS["several rows per unit"]
    moved = stepped(mode, model, forward, batch, owners, groups)
    exact = clipped_loop(model, forward, rows_in_double(batch), owners, groups)
    assert deviation(moved, exact) < 3e-6
    assert not any(moved[name].any() for name in model.local_parameters())


def test_the_walk_over_all_models_uses_every_kind_of_feature_and_task() -> None:
    federation = contract("shared_bottom")
    features = {f.kind for f in federation.features.values()}
    tasks = {t.kind for t in federation.tasks.values()}
    every_feature, every_task = (
        {get_args(kind.__annotations__["kind"])[0] for kind in get_args(get_args(union)[0])}
        for union in (schema.Feature, schema.Task)
    )
    assert features == every_feature == set(KINDS)
    assert tasks == every_task == set(LABELS)


def test_the_layers_with_a_rule_are_all_layers_that_own_parameters() -> None:
    owners = {
        type(module)
        for architecture in EVERY_ARCHITECTURE
        for module in model_of(architecture).modules()
        if list(module.parameters(recurse=False))
    }
    assert owners <= set(rules.RULES)
    assert all(issubclass(kind, nn.Module) for kind in rules.RULES)


@pytest.mark.parametrize(
    ("entries", "units", "most", "inputs", "outputs", "written_out"),
    [
        (200_000, 5_000, 300, 36, 1, True),  # a task's linear head, products with hundreds of rows
        (2_048, 512, 4, 64, 1, True),  # a head on four rows a shopper
        (2_048, 512, 4, 429, 256, False),  # a wide layer
        (100, 10_000, 100, 429, 256, False),  # so few entries that it would be cheap, but too many units
    ],
)
def test_the_cheaper_way_to_a_norm_is_taken(
    entries: int, units: int, most: int, inputs: int, outputs: int, written_out: bool
) -> None:
    assert rules._written_out_is_cheaper(entries, units, most, inputs, outputs) is written_out
