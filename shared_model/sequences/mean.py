"""The mean of the events, of each feature over the events that have it. No parameters; order does not count.

Source: Covington et al. (2016), "Deep Neural Networks for YouTube Recommendations", section 3.1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import schema


class Mean(nn.Module):
    """Means of all features side by side: as wide as their tables together."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.width = sum(widths)

    def forward(self, vectors: Sequence[Tensor], ids: Sequence[Tensor]) -> Tensor:
        """Return the means (`SequenceEncoder`)."""
        return torch.cat([mean_of_present(v, i) for v, i in zip(vectors, ids, strict=True)], -1)


def mean_of_present(vectors: Tensor, ids: Tensor) -> Tensor:
    """Average over a bag, (..., B, L, D) -> (..., B, D); an empty bag is the zero vector."""
    present = (ids > 0).to(vectors.dtype)
    return (vectors * present.unsqueeze(-1)).sum(-2) / present.sum(-1, keepdim=True).clamp_min(1.0)


def build(spec: schema.Sequence, widths: tuple[int, ...], generator: torch.Generator) -> Mean:
    """Return the encoder; it has no parameters, so `generator` is not read."""
    return Mean(widths)
