"""A private step under a rule for conflicts: one clip over all tasks, noise on everything, then the rule."""

import pytest
import torch
from torch import Tensor

from client.conflicts import RULES, Resolver
from client.private.clipping import Group
from client.private.conflict import JacobianSteps
from client.private.grid import to_grid
from client.private.noise import Noise, SeededNoise
from client.private.training import losses_by_task, train_private
from shared_model.model import MultiTaskModel
from shared_model.privacy.accounting import epsilon
from shared_model.privacy.plan import JOINT, Plan, plan_of
from tests.client import conflicting
from tests.client.private.rows import Rows, group, plan

BIASES = ("heads.days.prior.bias", "heads.hours.prior.bias")


def noise(seed: int = 0) -> SeededNoise:
    return SeededNoise(torch.Generator().manual_seed(seed))


def rows(owners: list[int]) -> Rows:
    """The rows of `conflicting`; without owners, none."""
    federation, count = conflicting.contract("none"), len(owners)
    labels = {task: label[:count] for task, label in conflicting.LABELS.items()}
    return Rows(tasks=federation.tasks, owners=owners, prices=conflicting.PRICES[:count], labels=labels)


def trained(conflict: str, told: Plan, owners: list[int], seed: int = 0) -> MultiTaskModel:
    federation = conflicting.contract(conflict, private=True)
    made = conflicting.model(federation)
    train_private(made, rows(owners), federation, told, noise(seed))
    return made


def joint(norm: float = 100.0, noise_multiplier: float = 0.0) -> Plan:
    return plan(groups=(group(JOINT, clipping_norm=norm, noise_multiplier=noise_multiplier),))


def test_without_noise_and_bound_it_is_the_plain_step() -> None:
    made = trained("pcgrad", joint(), [0, 1])
    assert conflicting.values(made, *conflicting.SHARED) == pytest.approx([0.91, 0.13])
    assert conflicting.values(made, *BIASES) == pytest.approx([0.2, -0.1])


def test_gradients_of_all_tasks_of_a_unit_are_clipped_as_one_vector() -> None:
    # one shopper has both rows: days (-2, -2) and its head (-2, -2), hours (2, 1) and its head (2, 1)
    length = (4 * 4 + 2 * 5) ** 0.5
    made = trained("pcgrad", joint(norm=1.0), [0, 0])
    assert conflicting.values(made, *BIASES) == pytest.approx([0.2 / length, -0.1 / length], rel=1e-5)
    shared = conflicting.values(made, *conflicting.SHARED)
    assert shared == pytest.approx([1 - 0.09 / length, 0.13 / length], rel=1e-5)


def released(owners: list[int], norm: float, source: Noise, std: float = 0.0) -> Tensor:
    """What a step tells of its units, before the rule: (2, P)."""
    federation = conflicting.contract("pcgrad", private=True)
    made, data = conflicting.model(federation), rows(owners)
    names = tuple(made.shared_parameters())
    steps = JacobianSteps(
        made,
        Group(name=JOINT, parameters=names, clipping_norm=norm, noise_std=std),
        list(data.tasks),
        "pcgrad",
        learning_rate=1.0,
        divisor=10.0,
        noise=source,
        to_grid=to_grid,
    )
    batch = data.batch(torch.arange(len(owners)))
    return steps.jacobian(
        lambda: losses_by_task(made, batch, data.tasks, list(data.tasks), data.weight),
        data.unit,
        data.units,
    )


def test_without_a_unit_what_is_released_moves_by_at_most_the_clipping_norm() -> None:
    both, one = released([0, 1], 0.5, noise()), released([0], 0.5, noise())
    assert float((both - one).norm()) == pytest.approx(0.5, rel=1e-5)


def test_what_is_released_lies_on_the_public_grid_before_the_rule_sees_it() -> None:
    found = released([0, 1], 0.5, noise(), std=2.0) * 2**7  # 2^-7 is 1/256 of the noise
    assert torch.equal(found, found.round())
    assert found.all()


def test_a_merchant_without_a_row_releases_noise_of_the_plan() -> None:
    # heads take their row of the Jacobian as it is: sd = 3 x 2 / 10; of 200 draws within 20 % but for one
    # seed in ten thousand
    told = joint(norm=2.0, noise_multiplier=3.0)
    drawn = [conflicting.values(trained("pcgrad", told, [], seed), BIASES[0]) for seed in range(200)]
    assert float(torch.tensor(drawn).std()) == pytest.approx(0.6, rel=0.2)


@pytest.mark.parametrize("rule", sorted(RULES.keys() - {"graddrop"}))  # which draws
def test_every_rule_moves_what_is_shared_by_what_it_makes_of_the_noised_jacobian(rule: str) -> None:
    made = trained(rule, joint(), [0, 1])
    direction = Resolver(rule, torch.Generator())(torch.tensor(conflicting.GRADIENTS))  # type: ignore[arg-type]
    expected = [1 - float(direction[0]) / 10, -float(direction[1]) / 10]
    assert conflicting.values(made, *conflicting.SHARED) == pytest.approx(expected, rel=1e-5)


def test_it_costs_what_a_step_without_a_rule_costs() -> None:
    with_rule, without = (
        plan_of(conflicting.contract(rule, private=True), "any") for rule in ("pcgrad", "none")
    )
    assert with_rule == without
    assert epsilon(with_rule.events(), with_rule.delta) <= 8.0
