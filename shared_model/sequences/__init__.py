"""Encoders of a shopper's recent events: from the events' vectors to one vector. One file each, one row here.

The newest event stands first, as `history` does; padding stands last. An encoder owns its parameters through
the layers of `shared_model.layers` alone, so that all engines have their rules, and the vector of a row
depends on that row alone.

Notation: B rows, L events, F features that describe an event, I their widths together, D width.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .. import schema
from . import attention, lstm, mean


class SequenceEncoder(Protocol):
    """What every encoder offers.

    Attributes:
        width: D of what it returns.
    """

    width: int

    def __call__(self, vectors: Sequence[Tensor], ids: Sequence[Tensor]) -> Tensor:
        """Return one vector per row, shape (..., B, D); the zero vector where there is no event.

        Args:
            vectors: What the tables of F features hold at `ids`, (..., B, L, width of the table) each.
            ids: Rows of those tables, 0 for missing or padding, (..., B, L) each.
        """


Build = Callable[[schema.Sequence, tuple[int, ...], torch.Generator], SequenceEncoder]
"""Makes an encoder from its part of the contract, the widths of F tables and a generator."""

ENCODERS: dict[str, Build] = {"mean": mean.build, "lstm": lstm.build, "attention": attention.build}
