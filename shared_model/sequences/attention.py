"""One small block of causal self-attention over the events, with learned positions.

An event looks at itself and at what was before it; the state of the newest event stands for the shopper.
Differences from the paper, so that a gradient per shopper exists and a step does not depend on chance:
vectors are normalised without a learned gain, there is one head, and nothing is dropped.

Source: Kang and McAuley (2018), "Self-Attentive Sequential Recommendation", equations 1 to 5.

Notation: B rows, L events, I width of an event, D width. The newest event stands first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import schema
from ..layers import Embedding, Linear
from .events import events_of


class Attention(nn.Module):
    """The state of the newest event.

    Attributes:
        length: Most events that there may be; it fixes the size of the table of positions.
    """

    def __init__(self, inputs: int, width: int, length: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.width, self.length = width, length
        self.enter = Linear(inputs, width, generator=generator)
        self.positions = Embedding(length + 1, width, generator=generator)
        self.query = Linear(width, width, generator=generator, bias=False)
        self.key = Linear(width, width, generator=generator, bias=False)
        self.value = Linear(width, width, generator=generator, bias=False)
        self.inner = Linear(width, width, generator=generator)
        self.outer = Linear(width, width, generator=generator)

    def forward(self, vectors: Sequence[Tensor], ids: Sequence[Tensor]) -> Tensor:
        """Return the state of the newest event that there is (`SequenceEncoder`)."""
        events, present = events_of(vectors, ids)
        states = self.states(events, present)
        newest = present & (present.cumsum(-1) == 1)
        return (states * newest.unsqueeze(-1).to(states.dtype)).sum(-2)

    def states(self, events: Tensor, present: Tensor) -> Tensor:
        """Return the state of every event; that of a missing one means nothing.

        Args:
            events: The newest first, (..., B, L, I).
            present: Which of them there are, bool (..., B, L).

        Returns:
            Shape (..., B, L, D).
        """
        places = torch.arange(1, events.shape[-2] + 1, device=events.device) * present
        x = self.enter(events) + self.positions(places)
        x = x + self._attended(_normalised(x), present)
        refined: Tensor = x + self.outer(self.inner(_normalised(x)).relu())
        return refined

    def _attended(self, x: Tensor, present: Tensor) -> Tensor:
        """Of every event the mean of values of itself and of earlier events, weighed by similarity."""
        length = x.shape[-2]
        earlier = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        itself = torch.eye(length, dtype=torch.bool, device=x.device)
        seen = (earlier & present.unsqueeze(-2)) | itself  # a missing event sees itself: no row is empty
        scores = self.query(x) @ self.key(x).mT * self.width**-0.5
        weights = scores.masked_fill(~seen, float("-inf")).softmax(-1)
        attended: Tensor = weights @ self.value(x)
        return attended


def _normalised(x: Tensor) -> Tensor:
    """Every vector with mean 0 and variance 1, each by itself."""
    return F.layer_norm(x, x.shape[-1:])


def build(spec: schema.Sequence, widths: tuple[int, ...], generator: torch.Generator) -> Attention:
    """Return the encoder that `spec` describes."""
    return Attention(sum(widths), spec.width or sum(widths), spec.max_length, generator=generator)
