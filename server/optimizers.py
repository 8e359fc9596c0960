"""What the coordinator does with the mean update of a round.

Notation, as in Reddi et al. (2021), "Adaptive Federated Optimization", algorithm 2: x the shared arrays,
Delta the mean update, m and v its first and second moment, eta the server learning rate, beta_1 `momentum`,
beta_2 `second_momentum`, tau `adaptivity`. https://arxiv.org/abs/2003.00295

An array without an update in a round (nobody trained its task) keeps its value and its moments.
"""

from collections.abc import Callable

import numpy as np

from shared_model.schema import ServerOptimizer

from .aggregation import Arrays

State = dict[str, Arrays]
"""Moments by name (`first`, `second`), each with an entry for every array that was updated before."""

Step = Callable[[State, Arrays, Arrays, ServerOptimizer, float], tuple[State, Arrays]]
"""(state, x, Delta, options, eta) -> (state, x); the arguments are left as they are."""


def fedavg(
    state: State, arrays: Arrays, update: Arrays, options: ServerOptimizer, learning_rate: float
) -> tuple[State, Arrays]:
    """Return x + eta Delta.

    With eta = 1 that is the weighted mean of what the merchants sent (McMahan et al. 2017, algorithm 1).
    """
    return state, {**arrays, **{n: arrays[n] + learning_rate * delta for n, delta in update.items()}}


def reptile(
    state: State, arrays: Arrays, update: Arrays, options: ServerOptimizer, learning_rate: float
) -> tuple[State, Arrays]:
    """Return x + eps Delta, eps = eta: a step towards the mean of what merchants made of the start.

    A merchant is a task of meta-learning, its local steps are the inner loop. Every one of them counts once,
    whatever its size; a contract whose tiers have different weights is therefore refused
    (`shared_model.schema.checks`). Anneal eps by `final_learning_rate`. It reads nothing but the mean update,
    so under `[privacy]` it costs nothing: it is post-processing.

    Source: Nichol et al. (2018), "On First-Order Meta-Learning Algorithms", algorithm 2 (the batch version);
    their eps falls linearly, too. https://arxiv.org/abs/1803.02999. With eps = 1 it is `fedavg` of merchants
    of one weight (`tests/server/test_optimizers.py`).
    """
    return fedavg(state, arrays, update, options, learning_rate)


def fedavgm(
    state: State, arrays: Arrays, update: Arrays, options: ServerOptimizer, learning_rate: float
) -> tuple[State, Arrays]:
    """Return x + eta m with m = beta_1 m + Delta (Hsu et al. 2019, section 4.3, https://arxiv.org/abs/1909.06335)."""
    old = state.get("first", {})
    first = {n: options.momentum * old.get(n, 0.0) + delta for n, delta in update.items()}
    moved = {n: arrays[n] + learning_rate * m for n, m in first.items()}
    return {"first": {**old, **first}}, {**arrays, **moved}


def fedadam(
    state: State, arrays: Arrays, update: Arrays, options: ServerOptimizer, learning_rate: float
) -> tuple[State, Arrays]:
    """Return x + eta m / (sqrt(v) + tau) with v = beta_2 v + (1 - beta_2) Delta^2, otherwise as `fedyogi`."""
    beta, old = options.second_momentum, state.get("second", {})
    second = {
        n: beta * old.get(n, options.adaptivity**2) + (1 - beta) * delta**2 for n, delta in update.items()
    }
    return _adaptive(state, arrays, update, second, options, learning_rate)


def fedyogi(
    state: State, arrays: Arrays, update: Arrays, options: ServerOptimizer, learning_rate: float
) -> tuple[State, Arrays]:
    """Return x + eta m / (sqrt(v) + tau) with v = v - (1 - beta_2) Delta^2 sign(v - Delta^2).

    m = beta_1 m + (1 - beta_1) Delta; v starts at tau^2, m at 0; no bias correction
    (Reddi et al. 2021, algorithm 2).
    """
    beta, old = options.second_momentum, state.get("second", {})
    second = {}
    for name, delta in update.items():
        v = old.get(name, np.full_like(delta, options.adaptivity**2))
        second[name] = v - (1 - beta) * delta**2 * np.sign(v - delta**2)
    return _adaptive(state, arrays, update, second, options, learning_rate)


def _adaptive(
    state: State,
    arrays: Arrays,
    update: Arrays,
    second: Arrays,
    options: ServerOptimizer,
    learning_rate: float,
) -> tuple[State, Arrays]:
    beta, old = options.momentum, state.get("first", {})
    first = {n: beta * old.get(n, 0.0) + (1 - beta) * delta for n, delta in update.items()}
    moved = {
        n: arrays[n] + learning_rate * m / (np.sqrt(second[n]) + options.adaptivity) for n, m in first.items()
    }
    moments = {"first": {**old, **first}, "second": {**state.get("second", {}), **second}}
    return moments, {**arrays, **moved}


OPTIMIZERS: dict[str, Step] = {
    "fedavg": fedavg,
    "fedavgm": fedavgm,
    "fedadam": fedadam,
    "fedyogi": fedyogi,
    "reptile": reptile,
}


def learning_rate(options: ServerOptimizer, *, round_number: int, rounds: int) -> float:
    """Return eta of a round: from `learning_rate` in round 1 linearly to `final_learning_rate` in the last.

    Without a `final_learning_rate`, or where there is only one round, it is `learning_rate`.

    >>> options = ServerOptimizer(learning_rate=1.0, final_learning_rate=0.5)
    >>> [learning_rate(options, round_number=r, rounds=3) for r in (1, 2, 3)]
    [1.0, 0.75, 0.5]
    """
    if not options.final_learning_rate or rounds == 1:
        return options.learning_rate
    passed = (round_number - 1) / (rounds - 1)
    return options.learning_rate + passed * (options.final_learning_rate - options.learning_rate)
