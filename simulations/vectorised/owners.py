"""Who owns the rows of a private cohort: the units of all merchants, numbered in turn.

Notation: as in the package.
"""

import torch

from client.private.units import Units

from .rows import Steps


def owners_of(steps: Steps) -> list[Units]:
    """Return the owners of the rows of every step, (M B,); a row that is not there is a unit of its own."""
    counts = torch.tensor([steps[number].units for number in range(len(steps))])  # (K, M)
    before = counts.cumsum(1) - counts
    return [
        _owners(unit, first, total)
        for unit, first, total in zip(
            (rows.unit for rows in steps), before, counts.sum(1).tolist(), strict=True
        )
        if unit is not None
    ]


def _owners(unit: torch.Tensor, first: torch.Tensor, total: int) -> Units:
    nobody = torch.arange(total, total + unit.numel()).view(unit.shape)
    owners = torch.where(unit < 0, nobody, unit + first.unsqueeze(1))
    return Units(owners.flatten(), total + unit.numel(), together=True)
