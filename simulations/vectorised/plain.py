"""Local training of a cohort without privacy: `client.training.train_plain`, for many merchants at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from client.training import OPTIMIZERS
from shared_model import schema
from shared_model.layers import Record, recording

from .draws import Draw, Drawing, Trained
from .heads import Block, blocks_of, wide_heads
from .layers import add_gradients, unscaled
from .rows import Rows, Steps
from .stack import Elsewhere, Stack
from .targets import forward_of, losses_are_plain

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
    local, share = drawing.federation.local, 1.0 / drawing.federation.federation.expected_batch
    trained = drawing.trains(frozenset().union(*(draw.tasks for draw in draws)))
    straight = steps_go_straight(local)
    alike = dict.fromkeys(trained.tasks) if straight else {}
    backward = Backward(stack, steps, drawing, trained, share, alike)
    move = _step(backward.blocks, local) if straight else _move(stack, trained.parameters, local)
    for number, rows in enumerate(steps):
        found = backward(number, rows)
        move(found.records, found.gradients)
    if local.weight_decay:
        keep_what_others_train(stack, trained.parameters, [draw.tasks for draw in draws])
        for name in trained.parameters:
            stack.elsewhere(name, _decayed(local, len(steps), name in stack.model.shared_parameters()))


def steps_go_straight(local: schema.LocalTraining) -> bool:
    """Whether a step is a multiple of the gradient alone, so that no gradient of a parameter need exist."""
    return local.optimizer == "sgd" and not local.weight_decay and not local.proximal


class Backed(NamedTuple):
    """A step, forwards and back.

    Attributes:
        records: What the trained layers read.
        gradients: Of what they returned; None where the loss does not depend on it.
        ends: Tensors (M, B, ...) that are finite at every row whose loss is.
    """

    records: list[Record]
    gradients: Sequence[Tensor | None]
    ends: Sequence[Tensor]

    def spoken(self) -> Tensor:
        """Return numbers that are finite at every row whose loss is, shape (M, B)."""
        sums = [end.detach().reshape(*end.shape[:2], -1).sum(-1) for end in self.ends]
        return torch.stack(sums).sum(0)


class Backward:
    """Takes steps back to what layers return; no further, since `layers.py` knows the rest.

    Attributes:
        blocks: The parameters that are trained, as they lie together.
    """

    def __init__(
        self,
        stack: Stack,
        steps: Steps,
        drawing: Drawing,
        trained: Trained,
        share: float,
        alike: Mapping[str, object],
    ) -> None:
        """Prepare the steps of a cohort.

        Args:
            stack: Its parameters.
            steps: Its rows.
            drawing: Of its merchants.
            trained: What any of them trains.
            share: Of every row's loss in what a step minimises.
            alike: Heads that may lie side by side (`heads.wide_heads`).
        """
        own = not drawing.own_stays or any(stack.holds_anything(name) for name in drawing.residuals)
        plain = losses_are_plain(stack.model, trained.tasks)
        heads = wide_heads(stack, trained.tasks, alike, own=own) if plain else []
        self.blocks = blocks_of(trained.parameters, heads)
        moved = {block.parameter for block in self.blocks}
        wide = (layer for head in heads for layer in head.layers if layer.weight in moved)
        self._layers = trained.layers.union(wide)
        self._forward = forward_of(
            stack.model, steps, drawing.specs, trained.tasks, share=share, own=own, heads=heads
        )

    def __call__(self, number: int, rows: Rows) -> Backed:
        """Return what the trained layers read in a step, and the gradients of what they returned."""
        with torch.enable_grad(), recording() as tape:
            ends = self._forward(number, rows)
        records = [r for r in tape if r.layer in self._layers]
        found = torch.autograd.grad(
            ends.outputs, [r.output for r in records], ends.gradients, allow_unused=True
        )
        return Backed(records, found, ends.outputs)


def _step(blocks: Sequence[Block], local: schema.LocalTraining) -> Move:
    """Return what takes a step of SGD and nothing else; it needs no gradients of parameters."""
    into, rate = {block.parameter: block.parameter.data for block in blocks}, -local.learning_rate
    return lambda records, gradients: add_gradients(records, gradients, into, rate, unscaled)


def _move(stack: Stack, parameters: Mapping[str, nn.Parameter], local: schema.LocalTraining) -> Move:
    """Return what takes a step."""
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


def keep_what_others_train(
    stack: Stack, parameters: Mapping[str, nn.Parameter], tasks: Sequence[frozenset[str]]
) -> None:
    """Take back what weight decay did to parameters that a merchant does not train."""
    for name, parameter in parameters.items():
        movers = stack.model.moved_by(name)
        others = torch.tensor([movers.isdisjoint(mine) for mine in tasks])
        if others.any():
            parameter.data[others] = stack.start(name)[others]
