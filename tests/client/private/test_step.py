"""A step is clip, add noise, divide by a public number, move; also where nobody was drawn."""

import pytest
import torch

from client.private import SecureNoise, SeededNoise, engine
from client.private.bookkeeping import Bookkeeping

from .graphs import EVERY_MODE, UNITS, Net, linear, one_group, seeded, stepped, table

NOBODY = (torch.zeros(0, dtype=torch.int64), 0)


def never(model: Net, inputs: object) -> torch.Tensor:
    raise AssertionError("an empty batch has no losses")


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_an_empty_batch_still_adds_noise(mode: str) -> None:
    model = Net({"a": linear(100, 100), "t": table(100, 100)})
    moved = stepped(
        mode, model, never, None, NOBODY, one_group(model, 1.0, 2.0), learning_rate=0.5, divisor=4.0
    )
    # 0.5 x 2 / 4 = 0.25; the sd of 10,000 draws is within 3 % with probability 1 - 2e-5
    assert float(moved["a.weight"].std()) == pytest.approx(0.25, rel=0.03)
    assert float(moved["t.weight"].std()) == pytest.approx(0.25, rel=0.03)


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_units_without_rows_are_no_empty_batch_error(mode: str) -> None:
    model = Net({"a": linear(2, 2)})
    moved = stepped(mode, model, never, None, (NOBODY[0], 3), one_group(model))
    assert not any(m.any() for m in moved.values())


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_every_group_has_its_own_noise(mode: str) -> None:
    model = Net({"a": linear(100, 100, bias=False), "b": linear(100, 100, bias=False)})
    groups = [
        group
        for name, std in (("a", 1.0), ("b", 3.0))
        for group in one_group(torch.nn.ModuleDict({name: model.get_submodule(name)}), 1.0, std)
    ]
    moved = stepped(mode, model, never, None, NOBODY, groups)
    assert float(moved["a.weight"].std()) == pytest.approx(1.0, rel=0.03)
    assert float(moved["b.weight"].std()) == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_two_steps_have_different_noise(mode: str) -> None:
    model = Net({"a": linear(10, 10)})
    made = engine(
        mode, model, one_group(model, 1.0, 1.0), learning_rate=1.0, divisor=1.0, noise=SecureNoise()
    )
    start = model.a.weight.detach().clone()
    made.step(lambda: never(model, None), *NOBODY)
    first = model.a.weight.detach() - start
    made.step(lambda: never(model, None), *NOBODY)
    assert not torch.equal(first, model.a.weight.detach() - start - first)


@pytest.mark.parametrize("mode", EVERY_MODE)
def test_a_second_engine_may_follow_the_first_on_the_same_model(mode: str) -> None:
    model = Net({"a": linear(3, 2)})
    for _ in range(2):
        made = engine(mode, model, one_group(model), learning_rate=0.1, divisor=1.0, noise=SecureNoise())
        made.step(lambda: model.a(torch.ones(12, 3)).sum(1), *UNITS["one row per unit"])
        made.release()
    assert all(p.requires_grad for p in model.parameters())


def test_an_accountant_of_opacus_attaches_to_the_optimizer() -> None:
    from opacus.accountants import RDPAccountant

    model, accountant = Net({"a": linear(3, 2)}), RDPAccountant()
    made = Bookkeeping(
        model, one_group(model, 2.0, 3.0), learning_rate=0.1, divisor=1.0, noise=SeededNoise(seeded())
    )
    made.optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.25))
    made.step(lambda: model.a(torch.ones(12, 3)).sum(1), *UNITS["one row per unit"])
    made.step(lambda: never(model, None), *NOBODY)
    assert accountant.history == [(1.5, 0.25, 2)]
