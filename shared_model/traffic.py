"""How many bytes of arrays a merchant gets and sends in a round, from the contract alone.

Counted is what the wire record counts (`server.wire_record`): every array as it travels, with the header that
says what it is. The instruction, its echo and what the transport adds, some hundred bytes, are not.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from . import npy
from .model import initial_shared
from .precision import PRECISIONS
from .privacy.plan import trained_tasks
from .row_blocks import schedule_of, shapes_in
from .schema import Federation


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes of one merchant in one round.

    Attributes:
        down: To the merchant.
        up: From it.
    """

    down: int
    up: int

    def of_all(self, merchants: int) -> int:
        """Return the bytes of so many merchants, both ways."""
        return merchants * (self.down + self.up)

    def said(self, merchants: int) -> str:
        """Return the bytes in words, for so many merchants asked in a round.

        >>> Traffic(down=1000, up=500).said(20)
        '1,000 bytes down and 500 up for a merchant and round, 30,000 in all for 20 merchants'
        """
        return (
            f"{self.down:,} bytes down and {self.up:,} up for a merchant and round, "
            f"{self.of_all(merchants):,} in all for {merchants:,} merchants"
        )


def of_round(federation: Federation, shapes: Mapping[str, tuple[int, ...]], round_number: int) -> Traffic:
    """Return the bytes of a round, from 1.

    Args:
        federation: The contract.
        shapes: Of all arrays that travel, whole.
        round_number: Which blocks of rows travel follows from it.
    """
    agreed = PRECISIONS[federation.federation.precision]
    found = shapes_in(shapes, schedule_of(federation).rows(round_number)).values()
    single = np.dtype(np.float32)
    up = sum(npy.size(shape, agreed.up) for shape in found)
    if agreed.scaled:
        up += npy.size((len(shapes),), single)
    if federation.privacy is not None and federation.privacy.telemetry is not None:
        up += npy.size((len(trained_tasks(federation)),), single)
    return Traffic(down=sum(npy.size(shape, agreed.down) for shape in found), up=up)


def of_mean_round(federation: Federation, shapes: Mapping[str, tuple[int, ...]]) -> Traffic:
    """Return the mean over the contract's rounds, rounded up; they differ where tables travel in blocks."""
    rounds = federation.federation.rounds
    blocks = min(federation.federation.row_blocks, rounds)
    turns = {block: len(range(block, rounds + 1, blocks)) for block in range(1, blocks + 1)}
    found = {block: of_round(federation, shapes, block) for block in turns}
    return Traffic(
        down=math.ceil(sum(turns[block] * bytes_.down for block, bytes_ in found.items()) / rounds),
        up=math.ceil(sum(turns[block] * bytes_.up for block, bytes_ in found.items()) / rounds),
    )


def of_contract(federation: Federation) -> Traffic:
    """Return `of_mean_round` of the model that the contract describes, which is built for that."""
    shapes = {name: array.shape for name, array in initial_shared(federation, 0).items()}
    return of_mean_round(federation, shapes)
