"""Events as one vector each. Notation: B rows, L events, I widths of their features together."""

from collections.abc import Sequence

import torch
from torch import Tensor


def events_of(vectors: Sequence[Tensor], ids: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the events' vectors (..., B, L, I), and which events there are, bool (..., B, L).

    An event of which no feature is known does not count.

    Args:
        vectors: Of every feature, (..., B, L, its width).
        ids: Of every feature, (..., B, L), 0 where missing.
    """
    return torch.cat(tuple(vectors), -1), torch.stack(tuple(ids), -1).gt(0).any(-1)
