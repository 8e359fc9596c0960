import numpy as np
import pytest
import torch

from server import aggregation, optimizers
from server.aggregation import Update
from server.optimizers import OPTIMIZERS
from shared_model.precision import PRECISIONS
from shared_model.schema import ServerOptimizer

UPDATES = [np.array([1.0, -2.0]), np.array([0.5, 4.0]), np.array([-3.0, 0.25])]
START = np.array([0.3, -0.7])


def run(name, updates, *, learning_rate=1.0, **options):
    """Return x after one step per update."""
    state, x = {}, {"w": START if len(updates[0]) == 2 else np.zeros(1)}
    for update in updates:
        state, x = OPTIMIZERS[name](state, x, {"w": update}, ServerOptimizer(**options), learning_rate)
    return x["w"]


def test_fedavg_adds_the_mean_update():
    assert run("fedavg", [np.array([2.0])]).tolist() == [2.0]
    assert run("fedavg", [np.array([2.0])], learning_rate=0.5).tolist() == [1.0]


def test_reptile_at_rate_1_with_equal_weights_is_fedavg():
    averaged, meta = ([run(name, UPDATES[:n]).tolist() for n in (1, 2, 3)] for name in ("fedavg", "reptile"))
    assert averaged == meta


def test_reptile_steps_from_the_start_towards_the_mean_of_what_merchants_made_of_it():
    # from a start of 1 merchants of one weight end at 3 and 5: the mean is 4, a quarter of the way 1.75
    start = {"w": np.ones(1)}
    three, five = (Update({"w": np.array([v])}, start, PRECISIONS["float32"]) for v in (3.0, 5.0))
    once = aggregation.add(aggregation.WeightedSum(), three, weight=1.0, names=("w",))
    both = aggregation.add(once, five, weight=1.0, names=("w",))
    update = aggregation.mean_update(both, {"w": (1,)})
    _, x = optimizers.reptile({}, start, update, ServerOptimizer(optimizer="reptile"), 0.25)
    assert x["w"].tolist() == [1.75]


def test_the_step_of_reptile_falls_linearly():
    options = ServerOptimizer(optimizer="reptile", learning_rate=1.0, final_learning_rate=0.25)
    rates = [optimizers.learning_rate(options, round_number=r, rounds=4) for r in (1, 2, 3, 4)]
    assert rates == [1.0, 0.75, 0.5, 0.25]


def test_fedavgm_by_hand():
    # m1 = 1; x1 = 1. m2 = 0.5 * 1 + 2 = 2.5; x2 = 1 + 2.5
    assert run("fedavgm", [np.array([1.0]), np.array([2.0])], momentum=0.5).tolist() == [3.5]


def test_fedadam_by_hand():
    # tau 1. m1 = 0.5, v1 = 0.75 + 0.25 * 1 = 1, x1 = 0.5 / (1 + 1) = 0.25
    # m2 = 0.25 + 1.5 = 1.75, v2 = 0.75 + 0.25 * 9 = 3, x2 = 0.25 + 1.75 / (sqrt(3) + 1)
    x = run("fedadam", [np.array([1.0]), np.array([3.0])], momentum=0.5, second_momentum=0.75, adaptivity=1.0)
    assert x[0] == pytest.approx(0.25 + 1.75 / (3**0.5 + 1), rel=1e-15)


def test_fedyogi_by_hand():
    # tau 1. m1 = 1, v1 = 1 - 0.25 * 4 * sign(1 - 4) = 2, x1 = 1 / (sqrt(2) + 1)
    # m2 = 0.5 + 0.5 = 1, v2 = 2 - 0.25 * 1 * sign(2 - 1) = 1.75, x2 = x1 + 1 / (sqrt(1.75) + 1)
    x = run("fedyogi", [np.array([2.0]), np.array([1.0])], momentum=0.5, second_momentum=0.75, adaptivity=1.0)
    assert x[0] == pytest.approx(1 / (2**0.5 + 1) + 1 / (1.75**0.5 + 1), rel=1e-15)


def test_fedavgm_is_sgd_with_momentum_on_the_negative_update():
    weights = torch.tensor(START, requires_grad=True)
    sgd = torch.optim.SGD([weights], lr=0.3, momentum=0.9)
    for update in UPDATES:
        weights.grad = -torch.from_numpy(update)
        sgd.step()
    found = run("fedavgm", UPDATES, learning_rate=0.3, momentum=0.9)
    np.testing.assert_allclose(found, weights.detach().numpy(), rtol=1e-14)


def test_fedadam_is_adam_without_bias_correction():
    # torch divides m by 1 - b1^t and v by 1 - b2^t. Its first step from a settled state has both factors
    # near 1, so a late step must agree: t = 10000, m and v those of the coordinator, v not from tau^2.
    options = ServerOptimizer(optimizer="fedadam", momentum=0.9, second_momentum=0.99, adaptivity=1e-3)
    weights = torch.tensor(START, requires_grad=True)
    adam = torch.optim.Adam([weights], lr=0.3, betas=(0.9, 0.99), eps=1e-3)
    m, v = np.array([0.1, -0.2]), np.array([0.5, 2.0])
    adam.state[weights] = {
        "step": torch.tensor(10_000.0),
        "exp_avg": torch.from_numpy(-m),  # torch's gradient is the negative update
        "exp_avg_sq": torch.from_numpy(v.copy()),
    }
    weights.grad = -torch.from_numpy(UPDATES[0])
    adam.step()
    state = {"first": {"w": m}, "second": {"w": v}}
    _, x = optimizers.fedadam(state, {"w": START}, {"w": UPDATES[0]}, options, 0.3)
    np.testing.assert_allclose(x["w"], weights.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_array_without_an_update_keeps_value_and_moments(name):
    options = ServerOptimizer()
    x = {"trained": np.ones(2), "idle": np.ones(2)}
    state, x = OPTIMIZERS[name]({}, x, {n: np.ones(2) for n in x}, options, 1.0)
    later_state, later = OPTIMIZERS[name](state, x, {"trained": np.ones(2)}, options, 1.0)
    np.testing.assert_array_equal(later["idle"], x["idle"])
    assert {kind: m["idle"].tolist() for kind, m in later_state.items()} == {
        kind: m["idle"].tolist() for kind, m in state.items()
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_leaves_its_arguments_as_they_are(name):
    x, update, options = {"w": np.ones(2)}, {"w": np.ones(2)}, ServerOptimizer()
    state, _ = OPTIMIZERS[name]({}, x, update, options, 1.0)
    kept = {kind: m["w"].copy() for kind, m in state.items()}
    OPTIMIZERS[name](state, x, update, options, 1.0)
    assert x["w"].tolist() == update["w"].tolist() == [1.0, 1.0]
    assert {kind: m["w"].tolist() for kind, m in state.items()} == {k: m.tolist() for k, m in kept.items()}


def test_the_table_has_every_optimizer_of_the_contract():
    assert set(OPTIMIZERS) == {"fedavg", "fedavgm", "fedadam", "fedyogi", "reptile"}


def test_the_learning_rate_ends_at_its_final_value():
    options = ServerOptimizer(learning_rate=1.0, final_learning_rate=0.2)
    assert optimizers.learning_rate(options, round_number=5, rounds=5) == pytest.approx(0.2)


def test_without_a_final_value_the_learning_rate_stays():
    assert optimizers.learning_rate(ServerOptimizer(learning_rate=0.7), round_number=9, rounds=9) == 0.7


def test_a_single_round_uses_the_learning_rate():
    options = ServerOptimizer(learning_rate=1.0, final_learning_rate=0.2)
    assert optimizers.learning_rate(options, round_number=1, rounds=1) == 1.0
