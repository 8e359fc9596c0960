"""Rows that do not travel in a round do not move in it, and neither do their moments."""

from functools import partial

import numpy as np
import pytest

from server import moved_rows, optimizers
from shared_model.schema import ServerOptimizer

FIRST, SECOND = {"table": slice(0, 2)}, {"table": slice(2, 4)}


def start():
    return {"table": np.zeros((4, 1)), "bias": np.zeros(1)}


def update(value=1.0):
    return {"table": np.full((2, 1), value), "bias": np.full(1, value)}


def taken(rounds, name="fedavg", rate=1.0, arrays=None):
    """Return moments and arrays after one step per (rows, update)."""
    state, arrays = {}, arrays or start()
    for rows, moved in rounds:
        mean = {key: partial(moved.get, key) for key in moved}
        state, arrays = moved_rows.step(state, arrays, mean, rows, ServerOptimizer(optimizer=name), rate)
    return state, arrays


def test_the_rows_that_travelled_take_the_step_and_the_others_stay():
    _, arrays = taken([(SECOND, update())])
    assert arrays["table"].ravel().tolist() == [0.0, 0.0, 1.0, 1.0]
    assert arrays["bias"].tolist() == [1.0]


def test_arrays_that_cannot_be_written_to_are_moved_too():
    """As those of a checkpoint that is read where it lies."""
    kept = start()
    kept["table"].setflags(write=False)
    _, arrays = taken([(SECOND, update())], arrays=kept)
    assert arrays["table"].ravel().tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fedyogi"])
def test_a_block_moves_as_if_there_were_only_the_rounds_in_which_it_travelled(name):
    """The second block is away in the second of three rounds; alone it would have had two."""
    options = ServerOptimizer(optimizer=name)
    _, arrays = taken([(SECOND, update(1.0)), (FIRST, update(5.0)), (SECOND, update(-2.0))], name, 0.5)
    state, alone = {}, {"table": np.zeros((2, 1))}
    for value in (1.0, -2.0):
        moved = {"table": np.full((2, 1), value)}
        state, alone = optimizers.OPTIMIZERS[name](state, alone, moved, options, 0.5)
    assert arrays["table"][2:].tolist() == alone["table"].tolist()


@pytest.mark.parametrize("name", ["fedavg", "fedavgm", "fedadam", "fedyogi"])
def test_without_blocks_steps_are_the_optimizers_own(name):
    moves = [{"table": np.ones((4, 1)), "bias": np.ones(1)}, {"table": np.full((4, 1), -3.0)}]
    options = ServerOptimizer(optimizer=name)
    state, arrays = taken([({}, moved) for moved in moves], name, 0.5)
    expected_state, expected = {}, start()
    for moved in moves:
        expected_state, expected = optimizers.OPTIMIZERS[name](expected_state, expected, moved, options, 0.5)
    assert {n: a.tolist() for n, a in arrays.items()} == {n: a.tolist() for n, a in expected.items()}
    assert {k: sorted(m) for k, m in state.items()} == {k: sorted(m) for k, m in expected_state.items()}


def test_an_array_that_nobody_trained_keeps_its_value_and_its_place():
    _, arrays = taken([(FIRST, {"bias": np.ones(1)})], "fedadam")
    assert arrays["table"].tolist() == start()["table"].tolist()
    assert list(arrays) == list(start())
