"""Noise that a row of a table is owed is there whenever the row is read, and everywhere at the release."""

import copy

import pytest
import torch
from scipy import stats
from torch import Tensor

from client.private import SeededNoise, engine
from client.private.bookkeeping import Bookkeeping
from shared_model.errors import PrivacyError

from .graphs import Net, batch_of, linear, model_of, one_group, seeded, stepped, table, task_losses

ROWS, WIDTH, STEPS = 200, 50, 5
READ = torch.arange(1, 100)
"""Rows that every step reads; the others and row 0, which means missing, are never read."""
RATE, DIVISOR, STD = 0.5, 4.0, 2.0
STEP_STD = RATE / DIVISOR * STD


def made(model: Net, seed: int = 0) -> Bookkeeping:
    return Bookkeeping(
        model,
        one_group(model, 1.0, STD),
        learning_rate=RATE,
        divisor=DIVISOR,
        noise=SeededNoise(seeded(seed)),
    )


def read(machine: Bookkeeping, model: Net, ids: Tensor, times: int = 1) -> list[Tensor]:
    """Take steps without any gradient; return what each of them read."""
    seen: list[Tensor] = []

    def losses() -> Tensor:
        seen.append(model.t(ids).detach().clone())
        return 0.0 * model.t(ids).sum(1)

    for _ in range(times):
        machine.step(losses, torch.arange(len(ids)), len(ids))
    return seen


def plain_table() -> Net:
    return Net({"t": table(ROWS, WIDTH)})


def ks(values: Tensor, std: float) -> float:
    return float(stats.kstest(values.flatten().numpy(), "norm", args=(0, std)).pvalue)


@pytest.mark.parametrize(
    "rows",
    [torch.arange(100, 200), READ, torch.tensor([0])],
    ids=["never read", "read in every step", "missing"],
)
def test_at_the_release_every_row_has_the_noise_of_all_steps(rows: Tensor) -> None:
    model = plain_table()
    before = model.t.weight.detach().clone()
    machine = made(model)
    read(machine, model, READ, STEPS)
    machine.release()
    moved = (model.t.weight.detach() - before)[rows]
    assert ks(moved, STEPS**0.5 * STEP_STD) > 1e-3  # false alarms 1e-3 over seeds; this one is fixed


def test_a_row_that_is_read_late_has_the_noise_of_the_steps_before() -> None:
    model = plain_table()
    before = model.t.weight.detach().clone()
    machine = made(model)
    read(machine, model, torch.zeros(1, dtype=torch.int64), 4)
    (seen,) = read(machine, model, READ)
    assert ks(seen - before[READ], 2 * STEP_STD) > 1e-3


def test_noise_of_one_row_in_two_steps_is_independent() -> None:
    model = plain_table()
    machine = made(model)
    first, second, third = read(machine, model, READ, 3)
    steps = torch.stack([(second - first).flatten(), (third - second).flatten()])
    # 5 sd of a correlation over 4950 numbers: false alarms 6e-7
    assert abs(float(torch.corrcoef(steps)[0, 1])) < 5 / 4950**0.5


def test_a_row_has_one_value_within_a_step_however_often_it_is_read() -> None:
    model = plain_table()
    machine = made(model)
    read(machine, model, READ, 2)
    seen: list[Tensor] = []

    def losses() -> Tensor:
        seen.extend([model.t(READ), model.t(READ.flip(0)).flip(0), model.t(READ.repeat(2, 1).T)[:, 1]])
        return 0.0 * seen[0].sum(1)

    machine.step(losses, torch.arange(len(READ)), len(READ))
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_a_step_that_fails_on_the_way_leaves_its_rows_in_debt() -> None:
    model = plain_table()
    before = model.t.weight.detach().clone()
    machine = made(model)
    read(machine, model, READ, STEPS)

    def broken() -> Tensor:
        model.t(READ)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        machine.step(broken, READ, 100)
    machine.release()
    assert ks((model.t.weight.detach() - before)[READ], STEPS**0.5 * STEP_STD) > 1e-3


def test_until_the_release_a_table_is_away() -> None:
    model = plain_table()
    machine = made(model)
    read(machine, model, READ)
    with pytest.raises((IndexError, RuntimeError)):
        model.t(READ)
    assert model.t.weight.shape == (0, WIDTH)


def test_whoever_reads_a_table_without_its_layer_finds_no_row() -> None:
    model = plain_table()
    with pytest.raises(PrivacyError, match=r"got \(3, 0\)"):
        made(model).step(lambda: torch.ones(3, WIDTH) @ model.t.weight.T, torch.arange(3), 3)


def test_after_the_release_the_model_has_its_own_parameters_again() -> None:
    model = plain_table()
    own = model.t.weight
    machine = made(model)
    read(machine, model, READ)
    machine.release()
    assert model.t.weight is own
    assert own.shape == (ROWS, WIDTH)


def test_training_goes_on_after_a_release() -> None:
    model = plain_table()
    before = model.t.weight.detach().clone()
    machine = made(model)
    for _ in range(STEPS):
        read(machine, model, READ)
        machine.release()
    assert ks(model.t.weight.detach() - before, STEPS**0.5 * STEP_STD) > 1e-3


def test_a_row_that_waits_longer_than_its_counter_can_count_is_paid_on_the_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("client.private.tables._MOST_STEPS", 3)
    model = plain_table()
    before = model.t.weight.detach().clone()
    machine = made(model)
    read(machine, model, READ, 7)
    machine.release()
    assert ks(model.t.weight.detach() - before, 7**0.5 * STEP_STD) > 1e-3


def test_moving_tables_into_one_storage_changes_no_value_and_happens_once() -> None:
    model = Net({"t": table(4, 3), "u": table(6, 3), "v": table(5, 2)})
    before = copy.deepcopy(model.state_dict())
    made(model)
    places = [model.t.weight.data_ptr(), model.u.weight.data_ptr()]
    assert places[1] - places[0] == 4 * 3 * 4  # rows x width x bytes
    made(model)
    assert [model.t.weight.data_ptr(), model.u.weight.data_ptr()] == places
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_tables_side_by_side_read_what_they_read_one_by_one() -> None:
    model, batch = model_of("shared_bottom"), batch_of("shared_bottom")
    expected = task_losses("shared_bottom")(model, batch).detach()
    seen: list[Tensor] = []
    machine = engine(
        "bookkeeping", model, one_group(model), learning_rate=1.0, divisor=1.0, noise=SeededNoise(seeded())
    )
    machine.step(
        lambda: seen.append(found := task_losses("shared_bottom")(model, batch)) or found,
        torch.arange(12),
        12,
    )
    torch.testing.assert_close(seen[0].detach(), expected)


def test_a_table_that_is_not_trained_stays_in_its_place() -> None:
    model = Net({"t": table(4, 2), "u": table(4, 2)})
    groups = one_group(torch.nn.ModuleDict({"t": model.t}))
    ids = torch.arange(4)
    moved = stepped(
        "bookkeeping", model, lambda m, i: (m.t(i) * m.u(i)).sum(1), ids, (ids, 4), groups, steps=2
    )
    assert moved["t.weight"].any()
    assert not moved["u.weight"].any()


def test_a_layer_that_reads_what_was_looked_up_gets_its_own_sum() -> None:
    # no id is missing, so nothing copies the vectors between the table and the layer
    model = Net({"t": table(6, 2), "a": linear(4, 1)})
    ids = torch.tensor([[1, 4], [2, 2]])

    def losses(m: Net, i: Tensor) -> Tensor:
        return m.a(m.t(i).flatten(1)).squeeze(1).sub(1) ** 2

    first = stepped("bookkeeping", model, losses, ids, (torch.arange(2), 2), one_group(model))
    second = stepped("hooks", model, losses, ids, (torch.arange(2), 2), one_group(model))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_lazy_noise_has_the_law_of_noise_in_every_step() -> None:
    """Two thousand runs of five steps whose gradients depend on noisy weights, against Opacus's optimizer."""
    model = Net({"t": table(6, 2), "a": linear(4, 1)})
    batches = [[[0, 1], [1, 2]], [[3, 3], [0, 4]], [[1, 4], [2, 2]], [[0, 1], [4, 4]], [[2, 0], [1, 1]]]
    finals = {}
    for mode in ("bookkeeping", "hooks"):
        runs = []
        noise = SeededNoise(seeded(11))
        for _ in range(2000):
            moved = copy.deepcopy(model)
            machine = engine(
                mode, moved, one_group(moved, 1.0, 0.7), learning_rate=0.5, divisor=2.0, noise=noise
            )
            for ids in batches:
                machine.step(
                    lambda moved=moved, ids=ids: (
                        moved.a(moved.t(torch.tensor(ids)).flatten(1)).squeeze(1).sub(1) ** 2
                    ),
                    torch.arange(2),
                    2,
                )
            machine.release()
            runs.append(torch.cat([p.detach().flatten() for p in moved.parameters()]))
        finals[mode] = torch.stack(runs)
    lazy, dense = finals["bookkeeping"].numpy(), finals["hooks"].numpy()
    lowest = min(stats.ks_2samp(lazy[:, i], dense[:, i]).pvalue for i in range(lazy.shape[1]))
    assert lowest * lazy.shape[1] > 1e-2  # Bonferroni: false alarms 1 %
