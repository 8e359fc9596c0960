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
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from client.contests import with_contests
from client.data.examples import Examples
from client.training import batches, multitask_loss
from shared_model.model import MultiTaskModel

from .start import Pull

STEPS = 200
LEARNING_RATE = 5e-3
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
    parameters = {n: p for n, p in model.named_parameters() if n in pulls}
    optimizer = torch.optim.Adam(parameters.values(), betas=(_MOMENTUM, _SECOND_MOMENTUM), eps=_ADAPTIVITY)
    uniform = partial(Tensor.uniform_, generator=generator)
    for done, rows in enumerate(itertools.islice(batches(dataset, kinds, BATCH, generator), steps)):
        rate = learning_rate * (1 + math.cos(math.pi * done / steps)) / 2
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        batch = model.encoder.with_hidden(dataset.batch(torch.cat(rows), tasks), uniform)
        batch = with_contests(model, batch, dataset.tasks, f"personal/{done}")
        multitask_loss(model, dataset, batch, tasks, divisors).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for name, parameter in parameters.items():
            _pull(parameter, optimizer.state[parameter], pulls[name], rate / total, done + 1)
        if after(done + 1):
            break
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def _pull(parameter: Tensor, state: Mapping[str, Tensor], pull: Pull, rate: float, step: int) -> None:
    """Solve the pull: v = anchor + (v - anchor) * D / (D + rate * strength), D the metric of Adam's step."""
    if not pull.strength:
        return
    second = state.get("exp_avg_sq")  # a parameter that no row reads has no gradient, so no metric either
    correction = (1 - _SECOND_MOMENTUM**step) ** 0.5
    metric = torch.zeros_like(parameter) if second is None else second.sqrt() / correction
    metric = metric + _ADAPTIVITY
    kept = metric / (metric + rate * pull.strength)
    parameter.copy_(pull.anchor + kept * (parameter - pull.anchor))
