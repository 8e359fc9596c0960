"""Events as one vector each. Notation: B rows, L events, I widths of their features together."""

from collections.abc import Sequence

import torch
from torch import Tensor


def events_of(vectors: Sequence[Tensor], ids: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the events' vectors (..., B, L, I), and which events there are, bool (..., B, L).

    An event of which no feature is known does not count. Places at the end where no row has an event are left
    out, which changes nothing but the time it takes; one place always stays.

    Args:
        vectors: Of every feature, (..., B, L, its width).
        ids: Of every feature, (..., B, L), 0 where missing.
    """
    present = torch.stack(tuple(ids), -1).gt(0).any(-1)
    filled = present.flatten(0, -2).any(0).nonzero()
    longest = int(filled[-1]) + 1 if len(filled) else 1
    return torch.cat([v[..., :longest, :] for v in vectors], -1), present[..., :longest]
