"""What a row's shopper bought before, and how much of that speaks for buying it again.

An item that was bought before gains three learned numbers' worth:

    c + a log(1 + times) + b / (1 + days / `RECENT_DAYS`)

with how many of the shopper's earlier orders held it, and how long ago the last of them was. All other items
gain nothing. So three numbers say how shoppers come back to things. They mean the same at every merchant, so
they travel, and each merchant has a residual of its own; a small one knows too little for three of its own.

Notation: B rows, H earlier items of a row, I items of a catalogue. Tensors may have leading axes.

Source: Anderson et al. (2014), "The Dynamics of Repeat Consumption", section 4 (what was consumed often and
lately is consumed again); the form is that of a choice model linear in what is known, as every head's.
"""

from typing import NamedTuple

import torch
from torch import Tensor

TRAITS = 3
"""Numbers that describe an earlier item: that it is one, how often, how lately."""
PENALTY = 1.0
"""How strongly a merchant's three numbers are pulled to zero, in rows, where none were learnt together."""
RECENT_DAYS = 30.0
"""After so many days an item counts half as lately bought; a public constant."""


class Earlier(NamedTuple):
    """Items that the shoppers of rows bought strictly before them, each once.

    Attributes:
        items: Positions in the catalogue, int64, shape (..., B, H); 0 for padding.
        times: How many earlier orders held them, shape (..., B, H); 0 for padding.
        days: Since the last of these orders, shape (..., B, H).
    """

    items: Tensor
    times: Tensor
    days: Tensor

    @property
    def known(self) -> Tensor:
        """Which places hold an item, boolean, shape (..., B, H)."""
        return self.times > 0

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Earlier":
        """Return the same on another device, its floats in `dtype`."""
        return Earlier(self.items.to(device), self.times.to(device, dtype), self.days.to(device, dtype))


def none_earlier(rows: int, like: Tensor) -> Earlier:
    """Return that `rows` shoppers bought nothing before, H = 0; floats as in `like`."""
    nothing = like.new_zeros(rows, 0)
    return Earlier(nothing.long(), nothing, nothing)


def traits(earlier: Earlier) -> Tensor:
    """Return what the learned numbers are multiplied with, shape (..., B, H, 3); zeros for padding.

    >>> traits(Earlier(torch.tensor([[4, 0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[30.0, 0.0]])))
    tensor([[[1.0000, 0.6931, 0.5000],
             [0.0000, 0.0000, 0.0000]]])
    """
    known = earlier.known.to(earlier.times.dtype)
    return torch.stack([known, earlier.times.log1p(), known / (1 + earlier.days / RECENT_DAYS)], -1)


def traits_of(chosen: Tensor, earlier: Earlier) -> Tensor:
    """Return the same of one item of each row, shape (..., B, 3); zeros where it was not bought before.

    Args:
        chosen: Positions, shape (..., B).
        earlier: Of the same rows.
    """
    same = earlier.items == chosen.unsqueeze(-1)
    return (traits(earlier) * same.unsqueeze(-1)).sum(-2)
