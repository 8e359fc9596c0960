"""Proximal Adam: a model is trained on one merchant's rows while every parameter is pulled to an anchor.

Minimises, over all parameters v of the model,

    sum over tasks of weight x sum of row losses + sum of strength / 2 * |v - anchor|^2

The pull is no part of the gradient. After Adam's step on the losses the pull is solved exactly, in the metric
of that step, so that a fixed point of both is a stationary point of the sum, whatever the strength: at zero
it is plain Adam, at infinity the anchor itself.

Source: Yun, Lozano and Yang (2021), "Adaptive Proximal Gradient Methods for Structured Neural Networks",
algorithm 1 (ProxGen) with a quadratic as regulariser.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from client.contests import with_contests
from client.data.examples import Examples
from client.training import batches, multitask_loss
from shared_model.model import MultiTaskModel

from .start import Pull

STEPS = 100
LEARNING_RATE = 1e-2
BATCH = 1024
"""Rows of each kind in a step; all of them where there are fewer."""
_MOMENTUM, _SECOND_MOMENTUM, _ADAPTIVITY = 0.9, 0.999, 1e-8


def descend(
    model: MultiTaskModel,
    dataset: Examples,
    pulls: Mapping[str, Pull],
    generator: torch.Generator,
    *,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    after: Callable[[int], bool] = lambda _: False,
) -> None:
    """Train `model` in place on the merchant's training rows, for all its tasks.

    Args:
        model: At its start.
        dataset: The merchant's rows; without training rows nothing is changed.
        pulls: By name of the parameter; parameters that are not named stay as they are.
        generator: Draws rows where a step does not read all, and which of their vectors are hidden.
        steps: At most so many.
        learning_rate: Of Adam, falling to zero along half a cosine (Loshchilov and Hutter 2017, eq. 5).
        after: Called with the number of steps done, after each; training ends when it returns True.
    """
    tasks = list(dataset.tasks)
    kinds = sorted({dataset.rows_of[t] for t in tasks})
    present = {kind: n for kind in kinds if (n := len(dataset.rows("train", kind=kind)))}
    total = sum(present.values())
    # a step's sum, scaled up to the sum over all rows, divided by N
    divisors = {kind: min(BATCH, found) * total / found for kind, found in present.items()}
    uniform = partial(Tensor.uniform_, generator=generator)
    with _flat(model, pulls) as state:
        for done, rows in enumerate(itertools.islice(batches(dataset, kinds, BATCH, generator), steps)):
            state.gradient.zero_()
            batch = model.encoder.with_hidden(dataset.batch(torch.cat(rows), tasks), uniform)
            batch = with_contests(model, batch, dataset.tasks, f"personal/{done}")
            multitask_loss(model, dataset, batch, tasks, divisors).backward()  # type: ignore[no-untyped-call]
            state.step(learning_rate * (1 + math.cos(math.pi * done / steps)) / 2, total)
            if after(done + 1):
                break


class _State:
    """Parameters, their gradients, pulls and moments as one vector each, so a step is a dozen operations."""

    def __init__(self, parameters: list[nn.Parameter], pulls: list[Pull]) -> None:
        self.values = torch.cat([p.detach().flatten() for p in parameters])
        self.gradient, self._first, self._second = (torch.zeros_like(self.values) for _ in range(3))
        self._anchor = torch.cat([pull.anchor.flatten() for pull in pulls])
        self._strength = torch.cat([torch.full_like(p.anchor, p.strength).flatten() for p in pulls])
        self._steps = 0

    def step(self, rate: float, total: int) -> None:
        """Take Adam's step, D its metric, then v = anchor + (v - anchor) * D / (D + rate * strength / N)."""
        self._steps += 1
        self._first.lerp_(self.gradient, 1 - _MOMENTUM)
        self._second.lerp_(self.gradient.square(), 1 - _SECOND_MOMENTUM)
        metric = self._second.sqrt() / (1 - _SECOND_MOMENTUM**self._steps) ** 0.5 + _ADAPTIVITY
        self.values.addcdiv_(self._first, metric, value=-rate / (1 - _MOMENTUM**self._steps))
        kept = metric / (metric + rate / total * self._strength)
        self.values.copy_(torch.lerp(self._anchor, self.values, kept))  # exact at both ends


@contextmanager
def _flat(model: MultiTaskModel, pulls: Mapping[str, Pull]) -> Iterator[_State]:
    """Let the pulled parameters and their gradients be views of one vector each, inside the block."""
    named = {name: p for name, p in model.named_parameters() if name in pulls}
    state = _State(list(named.values()), [pulls[name] for name in named])
    before = [p.data for p in named.values()]
    sizes = [p.numel() for p in named.values()]
    views = zip(torch.split(state.values, sizes), torch.split(state.gradient, sizes), strict=True)
    for parameter, (value, gradient) in zip(named.values(), views, strict=True):
        parameter.data, parameter.grad = value.view_as(parameter), gradient.view_as(parameter)
    try:
        yield state
    finally:
        for parameter, place in zip(named.values(), before, strict=True):
            parameter.data, parameter.grad = place.copy_(parameter.data), None
