"""What several architectures are made of."""

import itertools

import torch
from torch import Tensor, nn

from .layers import Linear


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
