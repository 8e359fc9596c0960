"""Bottoms: from encoded features to one representation per task. One file each, one row of the table each."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .. import schema
from ..features import Encoded, FeatureEncoder
from . import mmoe, shared_bottom, wide


class Bottom(Protocol):
    """What every architecture offers.

    Attributes:
        width: D of its representations.
        local_parts: Names of its children whose parameters stay at the merchant.
    """

    width: int
    local_parts: tuple[str, ...]

    def __call__(self, encoded: Encoded) -> dict[str, Tensor]:
        """Return the representation of every task, shape (..., B, D)."""


class Architecture(NamedTuple):
    """One row of the table.

    Attributes:
        reads: Kinds of features that it reads; others get no table.
        build: Makes the bottom from its part of the contract, the encoder, the tasks' names and a generator.
    """

    reads: tuple[type, ...]
    build: Callable[[schema.Bottom, FeatureEncoder, tuple[str, ...], torch.Generator], Bottom]


ARCHITECTURES = {
    "wide": Architecture(wide.READS, wide.build),
    "shared_bottom": Architecture(shared_bottom.READS, shared_bottom.build),
    "mmoe": Architecture(mmoe.READS, mmoe.build),
}
