"""Who owns the rows of a private cohort: the units of all merchants, numbered in turn.

Notation: as in the package.
"""

from collections.abc import Sequence

import torch

from client.private.units import Units

from .rows import Rows


def owners_of(steps: Sequence[Rows]) -> list[Units]:
    """Return the owners of the rows of every step, (M B,); a row that is not there is a unit of its own."""
    counts = torch.tensor([rows.units for rows in steps])  # (K, M)
    before = (counts.cumsum(1) - counts).unsqueeze(2)
    return [_owners(*one) for one in zip(steps, before, counts.sum(1).tolist(), strict=True)]


def _owners(rows: Rows, first: torch.Tensor, total: int) -> Units:
    assert rows.unit is not None
    nobody = torch.arange(total, total + rows.unit.numel()).view(rows.unit.shape)
    owners = torch.where(rows.unit < 0, nobody, rows.unit + first)
    return Units(owners.flatten(), total + nobody.numel(), together=True)
