"""What has no rule is refused when the engine is made, by name."""

import pytest
import torch
from torch import nn

from client.private import Group, SecureNoise, engine
from shared_model.errors import PrivacyError

from .graphs import EVERY_MODE, UNITS, Net, bank, linear, one_group, seeded, stepped, table

pytestmark = pytest.mark.parametrize("mode", EVERY_MODE)


def made(mode: str, model: nn.Module, groups: list[Group]) -> object:
    return engine(mode, model, groups, learning_rate=0.1, divisor=1.0, noise=SecureNoise())


def test_a_bare_parameter_is_refused(mode: str) -> None:
    model = Net({"a": linear(3, 2)})
    model.register_parameter("temperature", nn.Parameter(torch.ones(1)))
    with pytest.raises(PrivacyError, match="No rule clips parameter temperature: it is owned by Net"):
        made(mode, model, one_group(model))


def test_a_stock_layer_is_refused(mode: str) -> None:
    model = Net({"a": nn.Linear(3, 2)})
    with pytest.raises(PrivacyError, match=r"No rule clips parameter a\.weight"):
        made(mode, model, one_group(model))


def test_a_layer_that_derives_from_ours_is_refused(mode: str) -> None:
    derived = type("Scaled", (type(linear(1, 1)),), {})
    model = Net({"a": derived(3, 2, generator=seeded())})
    with pytest.raises(PrivacyError, match=r"a\.weight: it is owned by Scaled"):
        made(mode, model, one_group(model))


def test_a_parameter_of_two_layers_is_refused(mode: str) -> None:
    model = Net({"a": linear(3, 4), "t": table(4, 3)})
    model.t.weight = model.a.weight
    with pytest.raises(
        PrivacyError, match=r"No rule clips parameter a\.weight: it is owned by Linear and Emb"
    ):
        made(mode, model, one_group(model))


def test_a_parameter_in_two_groups_is_refused(mode: str) -> None:
    model = Net({"a": linear(3, 2)})
    with pytest.raises(PrivacyError, match=r"a\.weight is clipped twice"):
        made(mode, model, one_group(model) + one_group(model))


def test_an_unknown_parameter_is_refused(mode: str) -> None:
    group = Group(name="all", parameters=("b.weight",), clipping_norm=1.0, noise_std=1.0)
    with pytest.raises(PrivacyError, match=r"no parameter b\.weight"):
        made(mode, Net({"a": linear(3, 2)}), [group])


def test_a_model_of_several_merchants_is_refused(mode: str) -> None:
    model = Net({"a": linear(3, 2)})
    model.a.weight = nn.Parameter(torch.ones(5, 2, 3))
    with pytest.raises(PrivacyError, match=r"a\.weight holds several merchants"):
        made(mode, model, one_group(model))


@pytest.mark.parametrize(("clipping_norm", "noise_std"), [(0.0, 1.0), (float("nan"), 1.0), (1.0, -1.0)])
def test_a_group_without_a_bound_is_refused(mode: str, clipping_norm: float, noise_std: float) -> None:
    model = Net({"a": linear(3, 2)})
    with pytest.raises(PrivacyError, match="Expected a clipping norm above 0"):
        made(mode, model, one_group(model, clipping_norm, noise_std))


def test_nothing_to_train_is_refused(mode: str) -> None:
    with pytest.raises(PrivacyError, match="at least one trained parameter"):
        made(mode, Net({"a": linear(3, 2)}), [])


def test_losses_that_would_broadcast_are_refused(mode: str) -> None:
    model = Net({"a": linear(3, 1)})
    with pytest.raises(PrivacyError, match=r"Expected losses of shape \(12,\), got \(12, 1\)"):
        stepped(
            mode, model, lambda m, x: m.a(x), torch.ones(12, 3), UNITS["one row per unit"], one_group(model)
        )


def test_rows_on_an_axis_where_no_rule_looks_are_refused(mode: str) -> None:
    model = Net({"a": bank(2, 3, 1, shared_input=True)})
    x = torch.ones(12, 4, 3)  # a sequence would be taken for experts
    with pytest.raises((PrivacyError, RuntimeError)):
        stepped(
            mode, model, lambda m, x: m.a(x).sum((1, 2, 3)), x, UNITS["one row per unit"], one_group(model)
        )
