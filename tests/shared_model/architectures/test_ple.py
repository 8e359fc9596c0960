"""Experts of all tasks and of each task, mixed level by level."""

import math

import pytest
import torch

from shared_model.layers import Linear
from shared_model.schema import PLE, MMoE

from .bottoms import X, bottom, fill, inputs

TASKS = ("late", "spend")


def test_one_level_without_experts_of_tasks_is_mmoe() -> None:
    ple = bottom(PLE(architecture="ple", experts=3, task_experts=0, hidden=(4,)), *TASKS)
    mmoe = bottom(MMoE(architecture="mmoe", experts=3, hidden=(4,)), *TASKS)
    mmoe.experts[0].load_state_dict(ple.levels[0].shared.state_dict())
    gates = [ple.levels[0].gates[task] for task in TASKS]
    for position, gate in enumerate(gates):
        fill(gate, weight=torch.randn(3, 2, generator=torch.Generator().manual_seed(position)), bias=0.1)
    fill(mmoe.gate, weight=torch.cat([g.weight for g in gates]), bias=torch.cat([g.bias for g in gates]))
    torch.testing.assert_close(ple(X, TASKS), mmoe(X, TASKS))


def small() -> PLE:
    return PLE(architecture="ple", experts=1, task_experts=1, hidden=(1, 1))


def test_a_small_mix_is_what_a_hand_computes() -> None:
    made = bottom(small(), *TASKS)
    first, last = made.levels
    for bank, value in (
        (first.shared, 1.0), (first.experts["late"], 3.0), (first.experts["spend"], 5.0),
        (last.shared, 1.0), (last.experts["late"], 2.0), (last.experts["spend"], 4.0),
    ):  # fmt: skip
        fill(bank, weight=value, bias=0.0)
    fill(last.gates["late"], weight=0.0, bias=[0.0, math.log(3.0)])
    # x + y = 1, so the experts of the first level give 1 (shared), 3 (late), 5 (spend); gates weigh alike:
    # late mixes (1 + 3) / 2 = 2, spend (1 + 5) / 2 = 3, and what goes on is (1 + 3 + 5) / 3 = 3.
    # On the last level the shared expert gives 3, late's own 2 * 2 = 4, spend's own 4 * 3 = 12. Late's gate
    # weighs its own expert three times as much: (3 + 3 * 4) / 4 = 3.75; spend's weighs alike: 7.5.
    found = made(inputs([0.25, 0.75]), TASKS)
    assert {task: z.item() for task, z in found.items()} == pytest.approx({"late": 3.75, "spend": 7.5})


def test_experts_of_own_tasks_stay_and_do_not_enter_what_others_read() -> None:
    made = bottom(small(), *TASKS, own=("upsell",))
    assert made.levels[0].shared_gate.weight.shape == (3, 2)  # shared, late, spend
    assert {"levels.0.experts.upsell", "levels.1.experts.upsell"} < set(made.parts.stay)
    assert not {"levels.0.experts.late", "levels.0.shared"} & set(made.parts.stay)


def test_all_gates_begin_at_zero_and_stay() -> None:
    made = bottom(small(), *TASKS)
    gates = {name: layer for name, layer in made.named_modules() if isinstance(layer, Linear)}
    assert all(not parameter.any() for layer in gates.values() for parameter in layer.parameters())
    assert len(gates) == 5  # two tasks on two levels, and one of what goes on
    assert all(name.startswith(made.parts.stay) for name in gates)


def test_experts_of_a_task_teach_others_on_all_levels_but_the_last() -> None:
    made = bottom(PLE(architecture="ple", hidden=(4, 3)), *TASKS)
    made(X, ("late",))["late"].sum().backward()
    first, last = (level.experts["spend"].weight.grad for level in made.levels)
    assert first.abs().max() > 0
    assert last is None
