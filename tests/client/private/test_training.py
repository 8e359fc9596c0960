"""One private round, with numbers that can be checked by hand."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from client.private.noise import SeededNoise
from client.private.training import clip_groups, train_private
from shared_model.features import Batch
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import take
from shared_model.privacy.plan import JOINT, GroupPlan, Plan, TelemetryPlan
from shared_model.schema import Federation
from tests.client.private.rows import Rows, contract, group, plan

NAN = float("nan")


def model(federation: Federation) -> MultiTaskModel:
    return build(federation, generator=torch.Generator().manual_seed(0))


def noise(seed: int = 0) -> SeededNoise:
    return SeededNoise(torch.Generator().manual_seed(seed))


def two_shoppers(federation: Federation, **changes: Any) -> Rows:
    """The first has two rows, the second one. Every prediction starts at 0, so a gradient is -y (x, 1)."""
    given: dict[str, Any] = {
        "tasks": federation.tasks,
        "owners": [0, 0, 1],
        "prices": [1.0, 2.0, 3.0],
        "labels": {"days": [1.0, 1.0, 2.0]},
    }
    return Rows(**{**given, **changes})


def trained(federation: Federation, rows: Rows, told: Plan, seed: int = 0) -> tuple[float, float]:
    """Return weight and bias of the shared prior of `days`; both start at 0."""
    found = model(federation)
    train_private(found, rows, federation, told, noise(seed))
    return prior(found)


def prior(found: MultiTaskModel, task: str = "days") -> tuple[float, float]:
    named = take(found, [f"heads.{task}.prior.weight", f"heads.{task}.prior.bias"])
    weight, bias = named.values()
    return float(weight), float(bias)


def test_without_noise_and_bound_a_round_is_the_sum_of_gradients_over_the_public_divisor() -> None:
    federation = contract()
    # sum of y (x, 1): 1 (1, 1) + 1 (2, 1) + 2 (3, 1) = (9, 4); over B = 10
    assert trained(federation, two_shoppers(federation), plan()) == pytest.approx((0.9, 0.4))


def test_a_shopper_counts_for_the_clipping_norm_however_many_rows_it_has() -> None:
    federation = contract()
    told = plan(groups=(group("days", clipping_norm=1.0),))
    rows = two_shoppers(federation, owners=[0, 0, 0])  # (9, 4) has norm sqrt(97)
    assert trained(federation, rows, told) == pytest.approx((0.9 / 97**0.5, 0.4 / 97**0.5), rel=1e-5)


def test_the_weight_of_a_row_scales_its_gradient() -> None:
    federation = contract()
    rows = two_shoppers(federation, weights=[0.5, 0.5, 0.0])  # half of (3, 2)
    assert trained(federation, rows, plan()) == pytest.approx((0.15, 0.1))


def test_a_row_without_a_label_adds_nothing() -> None:
    federation = contract()
    rows = two_shoppers(federation, labels={"days": [1.0, NAN, 2.0]})
    assert trained(federation, rows, plan()) == pytest.approx((0.7, 0.3))  # (1, 1) + (6, 2)


def test_every_row_and_nothing_else_is_read_where_everybody_is_drawn() -> None:
    federation = contract()
    rows = two_shoppers(federation)
    trained(federation, rows, plan())
    assert [read.tolist() for read in rows.read] == [[0, 1, 2]]


def test_a_merchant_without_a_row_releases_noise() -> None:
    federation = contract()
    rows = Rows(tasks=federation.tasks, owners=[], prices=[], labels={"days": []})
    told = plan(groups=(group("days", noise_multiplier=1.0),))
    weight, bias = trained(federation, rows, told)
    assert 0 not in (weight, bias)


def test_the_noise_is_that_of_the_plan() -> None:
    # 2000 rounds of noise: sd = noise multiplier x sensitivity / B = 3 x 2 / 10 = .6; the sd of a sample is
    # within 5 % but for one seed in a thousand
    federation = contract()
    rows = Rows(tasks=federation.tasks, owners=[], prices=[], labels={"days": []})
    told = plan(groups=(group("days", clipping_norm=2.0, noise_multiplier=3.0),))
    drawn = torch.tensor([trained(federation, rows, told, seed)[0] for seed in range(2000)])
    assert float(drawn.std()) == pytest.approx(0.6, rel=0.05)


def test_what_is_released_lies_on_the_public_grid() -> None:
    federation = contract()
    told = plan(groups=(group("days", clipping_norm=8.0, noise_multiplier=1.0),))
    # noise of 8 / 10 on each number; a power of two at most 2^-8 of it is 2^-9
    weight, bias = trained(federation, two_shoppers(federation), told)
    assert weight * 2**9 == int(weight * 2**9)
    assert bias * 2**9 == int(bias * 2**9)


def test_steps_beyond_the_first_go_on_from_the_noised_model() -> None:
    federation = contract()
    once = trained(federation, two_shoppers(federation), plan())
    twice = trained(federation, two_shoppers(federation), plan(steps=2))
    assert once != twice


def test_weight_decay_costs_nothing_and_pulls_towards_zero() -> None:
    federation = contract(local={"learning_rate": 1.0, "weight_decay": 0.5})
    rows = Rows(tasks=federation.tasks, owners=[], prices=[], labels={"days": []})
    found = model(federation)
    with torch.no_grad():
        dict(found.named_parameters())["heads.days.prior.bias"].fill_(2.0)
    train_private(found, rows, federation, plan(), noise())
    assert prior(found) == (0.0, 1.0)


def test_residuals_stay_where_they_are() -> None:
    federation = contract()
    found = model(federation)
    told = plan(groups=(group("days", noise_multiplier=1.0),))
    train_private(found, two_shoppers(federation), federation, told, noise())
    assert not dict(found.named_parameters())["heads.days.own.weight"].any()


def test_a_training_head_is_noised_like_what_is_shared() -> None:
    federation = contract(local={"learning_rate": 1.0, "train_residuals": True})
    rows = Rows(tasks=federation.tasks, owners=[], prices=[], labels={"days": []})
    found = model(federation)
    told = plan(groups=(group("days", noise_multiplier=1.0),))
    train_private(found, rows, federation, told, noise())
    assert dict(found.named_parameters())["heads.days.own.weight"].all()


def test_a_wide_bottom_has_one_clip_group_a_task_and_a_network_one_for_all() -> None:
    names = ["heads.late.prior.weight", "heads.days.prior.weight", "encoder.tables.x.weight"]
    wide = clip_groups(plan(groups=(group("late"), group("days"))), names)
    joint = clip_groups(plan(groups=(group(JOINT),)), names)
    assert [g.parameters for g in wide] == [("heads.late.prior.weight",), ("heads.days.prior.weight",)]
    assert [g.parameters for g in joint] == [tuple(names)]


def test_a_task_that_the_merchant_does_not_have_is_left_out() -> None:
    assert [g.name for g in clip_groups(plan(groups=(group("late"), group("days"))), ["heads.days.x"])] == [
        "days"
    ]


def taught_by_counts(shoppers: int) -> Tensor:
    """Train on 2,000 rows of 50 items, told before, behind one row each of some shoppers; without noise."""
    tasks = {"days": {"kind": "regression"}, "units": {"kind": "count"}}
    features = {f"f{i}": {"kind": "numeric"} for i in range(30)}
    federation = contract(tasks=tasks, features=features)
    numbers = torch.randn(2000 + shoppers, 30, generator=torch.Generator().manual_seed(1))
    rows = Rows(
        tasks=federation.tasks,
        owners=[*range(shoppers), *(shoppers + i // 40 for i in range(2000))],
        prices=[],
        labels={"days": [2.0] * shoppers + [NAN] * 2000, "units": [NAN] * shoppers + [3.0] * 2000},
        numeric=torch.cat([numbers[2000:], numbers[:2000]]),
    )
    free = GroupPlan(name="units", clipping_norm=1.0, sensitivity=0.0, noise_multiplier=0.0)
    found = model(federation)
    train_private(found, rows, federation, plan(told=(free,), steps=3), noise())
    return dict(found.named_parameters())["heads.units.prior.weight"].detach()


def test_what_leaves_without_noise_does_not_tell_by_a_bit_how_many_shoppers_there_are() -> None:
    alone = taught_by_counts(0)
    assert alone.any()
    assert [torch.equal(alone, taught_by_counts(shoppers)) for shoppers in (1, 2, 3, 5)] == [True] * 4


def told_losses(bound: float, labels: list[float]) -> Tensor:
    federation = contract()
    told = plan(telemetry=TelemetryPlan(tasks=("days", "late"), bound=bound, noise_multiplier=0.0))
    rows = two_shoppers(federation, labels={"days": labels})
    found = train_private(model(federation), rows, federation, told, noise())
    assert found is not None
    return found


def test_telemetry_is_the_sum_over_shoppers_of_their_mean_loss_before_the_step() -> None:
    # half squares: (.5 + .5) / 2 for the first shopper, 2 for the second; nobody has the other task
    assert told_losses(10.0, [1.0, 1.0, 2.0]).tolist() == [2.5, 0.0]


def test_telemetry_cuts_every_shopper_to_the_bound() -> None:
    assert told_losses(1.0, [1.0, 1.0, 2.0]).tolist() == [1.5, 0.0]


def test_a_loss_that_is_not_finite_adds_nothing_to_telemetry() -> None:
    assert told_losses(1.0, [1.0, 1.0, float("inf")]).tolist() == [0.5, 0.0]


def test_without_telemetry_in_the_contract_no_loss_is_computed() -> None:
    federation = contract()
    rows = two_shoppers(federation)
    assert train_private(model(federation), rows, federation, plan(), noise()) is None


def test_telemetry_leaves_the_update_as_it_is() -> None:
    federation = contract()
    told = TelemetryPlan(tasks=("days",), bound=1.0, noise_multiplier=0.0)
    with_it = trained(federation, two_shoppers(federation), plan(telemetry=told))
    assert with_it == trained(federation, two_shoppers(federation), plan())


def test_the_prior_of_a_task_that_the_merchant_does_not_have_stays() -> None:
    federation = contract(tasks={"days": {"kind": "regression"}, "hours": {"kind": "regression"}})
    rows = Rows(tasks={"days": federation.tasks["days"]}, owners=[0], prices=[1.0], labels={"days": [1.0]})
    found = model(federation)
    before = take(found, ["heads.hours.prior.weight", "heads.hours.prior.bias"])
    train_private(found, rows, federation, plan(), noise())
    after = take(found, before)
    assert all(torch.equal(before[name], after[name]) for name in before)


class Pictured(Rows):
    """The same rows with a picture of one pixel each."""

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        return replace(super().batch(rows, tasks), vectors={"picture": torch.ones(len(rows), 1)})


def projection_moved(dropout: float) -> bool:
    picture = {"kind": "vector", "length": 1, "width": 1, "dropout": dropout}
    federation = contract(
        features={"price": {"kind": "numeric"}, "picture": picture},
        bottom={"architecture": "shared_bottom", "hidden": [2]},
    )
    found = model(federation)
    torch.nn.init.ones_(dict(found.named_parameters())["heads.days.prior.weight"])
    before = take(found, ["encoder.projections.picture.weight"])
    rows = Pictured(federation.tasks, [0, 0, 1], [1.0, 2.0, 3.0], {"days": [1.0, 1.0, 2.0]})
    train_private(found, rows, federation, plan(groups=(group(JOINT),)), noise())
    after = take(found, ["encoder.projections.picture.weight"])
    return not torch.equal(*before.values(), *after.values())


def test_a_vector_that_is_hidden_for_a_step_trains_nothing_in_it() -> None:
    assert projection_moved(dropout=0.0)
    assert not projection_moved(dropout=1 - 1e-9)
