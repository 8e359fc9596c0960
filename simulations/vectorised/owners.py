"""Who owns the rows of a private cohort: the units of all merchants, numbered in turn.

Notation: as in the package; U units of all merchants in all steps, k rows of one of them.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from client.private.products import MOST_PAIRS
from client.private.units import Pairs, Units, pairs_in, pairs_together

from .rows import Rows


def owners_of(steps: Sequence[Rows]) -> list[Units]:
    """Return the owners of the rows of every step, (M B,); a row that is not there is a unit of its own."""
    counts = [sum(rows.units) + rows.weight.numel() for rows in steps]
    parts = [_numbered(rows) for rows in steps]
    pairs = _pairs(parts, counts)
    return [Units(*one) for one in zip(parts, counts, pairs, strict=True)]


def _numbered(rows: Rows) -> Tensor:
    assert rows.unit is not None
    counts = torch.tensor(rows.units)
    nobody = torch.arange(sum(rows.units), sum(rows.units) + rows.unit.numel()).view(rows.unit.shape)
    first = (counts.cumsum(0) - counts).unsqueeze(1)
    return torch.where(rows.unit < 0, nobody, rows.unit + first).flatten()


def _pairs(parts: Sequence[Tensor], counts: Sequence[int]) -> list[Pairs] | list[None]:
    """Return the pairs of rows of every step, found at once; None where they are too many to be of use."""
    unit, row = _before(counts), _before([len(part) for part in parts])
    owners = torch.cat([part + first for part, first in zip(parts, unit, strict=True)])
    sizes = torch.bincount(owners, minlength=1)
    if int(pairs_in(sizes).sum()) > MOST_PAIRS * len(owners):
        return [None] * len(parts)
    found = pairs_together(owners, int(sizes.max()))
    cuts = [*torch.searchsorted(found.first, torch.tensor(row)).tolist(), len(found.first)]
    return [
        Pairs(found.first[low:high] - r, found.second[low:high] - r, found.owner[low:high] - u)
        for low, high, r, u in zip(cuts[:-1], cuts[1:], row, unit, strict=True)
    ]


def _before(counts: Sequence[int]) -> list[int]:
    """Return how many there are before each."""
    return [0, *itertools.accumulate(counts[:-1])]
