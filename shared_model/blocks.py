"""What several architectures are made of."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .layers import Linear

_SHORT = 15
"""Numbers up to which an axis goes to the front for a softmax."""


class Tasks(NamedTuple):
    """The tasks of a model, each in order of name.

    Attributes:
        common: Those of the contract.
        own: Those of the merchant alone.
    """

    common: tuple[str, ...]
    own: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Common ones first."""
        return self.common + self.own


class Parts(NamedTuple):
    """What of a bottom stays, and what is there for some tasks only; by the beginnings of parameters' names.

    Attributes:
        stay: What never leaves the merchant.
        read_by: Tasks whose representations a part is made for; what is not listed serves all tasks.
        alike: Whether the representations of all tasks are one.
    """

    stay: tuple[str, ...] = ()
    read_by: Mapping[str, frozenset[str]] = {}
    alike: bool = False


class Named(nn.ModuleDict):
    """Modules under names that somebody else chose: a feature may be called `type`, and a task `items`.

    torch refuses such names, because it finds children as attributes too. These are found by key alone.
    """

    def __setitem__(self, key: str, module: nn.Module) -> None:
        """Put a module under any name."""
        self._modules[key] = module


class Tower(nn.Module):
    """Linear layers with a rectifier after each. Shapes: (..., B, inputs) -> (..., B, hidden[-1])."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], *, generator: torch.Generator) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        self.layers = nn.ModuleList(Linear(i, o, generator=generator) for i, o in itertools.pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's activations."""
        for layer in self.layers:
            x = layer(x).relu()
        return x


def zeroed(layer: Linear) -> Linear:
    """Return the layer with all its parameters at zero: as a gate, it lets everything count the same."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def softmax(logits: Tensor) -> Tensor:
    """Return the softmax over the last axis; torch's own needs ten times as long where that is short.

    >>> softmax(torch.zeros(1, 2))
    tensor([[0.5000, 0.5000]])
    """
    if logits.shape[-1] > _SHORT:
        return logits.softmax(-1)
    return logits.movedim(-1, 0).contiguous().softmax(0).movedim(0, -1)


def mixture(weights: Tensor, experts: Tensor) -> Tensor:
    """Mix experts, (..., E, B, D), by weights, (..., B, T, E), once for every T; shape (..., B, T, D)."""
    return torch.matmul(weights, experts.transpose(-3, -2))
