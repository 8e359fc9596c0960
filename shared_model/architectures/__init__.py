"""Bottoms: from encoded features to one representation per task. One file each, one row of the table each."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .. import schema
from ..blocks import Parts, Tasks
from ..features import Encoded, FeatureEncoder
from . import cascade, mmoe, ple, shared_bottom, task_embedding, wide


class Bottom(Protocol):
    """What every architecture offers.

    Attributes:
        width: D of its representations.
        parts: What of it stays at the merchant, and what is there for some tasks only.
    """

    width: int
    parts: Parts

    def __call__(self, encoded: Encoded, tasks: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the representation of each of `tasks`, shape (..., B, D)."""


class Architecture(NamedTuple):
    """One row of the table.

    Attributes:
        reads: Kinds of features that it reads; others get no table.
        build: Makes the bottom from its part of the contract, the encoder, the tasks and a generator.
    """

    reads: tuple[type, ...]
    build: Callable[[schema.Bottom, FeatureEncoder, Tasks, torch.Generator], Bottom]


ARCHITECTURES = {
    "wide": Architecture(wide.READS, wide.build),
    "shared_bottom": Architecture(shared_bottom.READS, shared_bottom.build),
    "mmoe": Architecture(mmoe.READS, mmoe.build),
    "ple": Architecture(ple.READS, ple.build),
    "task_embedding": Architecture(task_embedding.READS, task_embedding.build),
    "cascade": Architecture(cascade.READS, cascade.build),
}
