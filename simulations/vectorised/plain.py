"""Local training of a cohort without privacy: `client.training.train_plain`, for many merchants at a time."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from client.training import OPTIMIZERS, trained_parameters, weighted_losses
from shared_model import schema
from shared_model.layers import Record, recording

from .draws import Draw, Drawing
from .layers import add_gradients, unscaled
from .rows import Rows, Steps
from .stack import Elsewhere, Stack

Move = Callable[[Sequence[Record], Sequence[Tensor | None]], None]
"""`move(records, gradients)` takes one step (`layers.add_gradients`)."""


def train_plain(stack: Stack, steps: Steps, drawing: Drawing, draws: Sequence[Draw]) -> None:
    """Take K optimiser steps at every merchant.

    Args:
        stack: The cohort's parameters; changed in place.
        steps: Its rows, with compacted ids.
        drawing: Of its merchants: the contract and the tasks.
        draws: What every merchant drew.

    Source: as `client.training.train_plain`, whose results these are up to the rounding of floats
    (`tests/simulations/vectorised/test_plain.py`).
    """
    model, local = stack.model, drawing.federation.local
    tasks = [task for task in drawing.tasks if any(task in draw.tasks for draw in draws)]
    names = trained_parameters(model, tasks, local)
    move = _move(stack, names, local)
    share = 1.0 / drawing.federation.federation.expected_batch
    losses_of = Losses(stack, drawing, tasks, names)
    for rows in steps:
        records, losses = losses_of(rows)
        move(records, gradients_of(losses.sum() * share, records))
    if local.weight_decay:
        _keep_what_others_train(stack, names, [draw.tasks for draw in draws])
        for name in names:
            stack.elsewhere(name, _decayed(local, len(steps), name in model.shared_parameters()))


class Losses:
    """Runs the forward pass of a step."""

    def __init__(self, stack: Stack, drawing: Drawing, tasks: list[str], names: Sequence[str]) -> None:
        """Prepare the steps of a cohort that train the parameters `names` on `tasks`."""
        self._model, self._specs, self._tasks = stack.model, drawing.specs, tasks
        trained = {stack.model.get_parameter(name) for name in names}
        self._layers = {m for m in stack.model.modules() if not trained.isdisjoint(m.parameters(False))}
        self._own = not drawing.own_stays or any(stack.holds_anything(name) for name in drawing.residuals)

    def __call__(self, rows: Rows) -> tuple[list[Record], Tensor]:
        """Return what the trained layers read, and every row's loss, shape (M, B)."""
        with torch.enable_grad(), recording() as tape:
            losses = weighted_losses(
                self._model, rows.batch, self._specs, self._tasks, rows.weight, own=self._own
            )
        return [r for r in tape if r.layer in self._layers], losses


def gradients_of(loss: Tensor, records: Sequence[Record]) -> Sequence[Tensor | None]:
    """Return the gradients of what layers returned; None where the loss does not depend on it."""
    return torch.autograd.grad(loss, [r.output for r in records], allow_unused=True)


def _move(stack: Stack, names: Sequence[str], local: schema.LocalTraining) -> Move:
    """Return what takes a step; plain SGD needs no gradients of parameters."""
    parameters = {name: stack.model.get_parameter(name) for name in names}
    if local.optimizer == "sgd" and not local.weight_decay and not local.proximal:
        into = {parameter: parameter.data for parameter in parameters.values()}
        rate = -local.learning_rate
        return lambda records, gradients: add_gradients(records, gradients, into, rate, unscaled)
    shared = [name for name in stack.model.shared_parameters() if name in parameters]
    anchor = {parameters[n]: stack.start(n) for n in shared} if local.proximal else {}
    optimizer = OPTIMIZERS[local.optimizer](
        list(parameters.values()), lr=local.learning_rate, weight_decay=local.weight_decay
    )

    def move(records: Sequence[Record], gradients: Sequence[Tensor | None]) -> None:
        for parameter in parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        into = {p: p.grad for p in parameters.values() if p.grad is not None}
        add_gradients(records, gradients, into, 1.0, unscaled)
        for parameter, start in anchor.items():
            into[parameter].add_(parameter.data - start, alpha=local.proximal)
        optimizer.step()

    return move


def _decayed(local: schema.LocalTraining, steps: int, shared: bool) -> Elsewhere:
    """Return what steps of SGD with weight decay make of rows that no loss moves: a multiple of them."""
    pull, now = local.proximal if shared else 0.0, 1.0
    for _ in range(steps):
        now -= local.learning_rate * (local.weight_decay * now + pull * (now - 1.0))
    return lambda merchant, start: start * now


def _keep_what_others_train(stack: Stack, names: Sequence[str], tasks: Sequence[frozenset[str]]) -> None:
    """Take back what weight decay did to parameters that a merchant does not train."""
    for name in names:
        movers = stack.model.moved_by(name)
        others = torch.tensor([movers.isdisjoint(mine) for mine in tasks])
        if others.any():
            held = stack.model.get_parameter(name).data
            held[others] = stack.start(name)[others]
