"""A long short-term memory over the events, the oldest first; its gates are linear layers.

Source: Hochreiter and Schmidhuber (1997), "Long Short-Term Memory"; with the forget gate of Gers et al.
(2000), "Learning to Forget: Continual Prediction with LSTM".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import schema
from ..layers import Linear
from .events import events_of


class LSTM(nn.Module):
    """The hidden state after the newest event. An event that is missing keeps the state as it is.

    Attributes:
        reads: From an event to the four gates, in the order input, forget, cell, output (torch's).
        keeps: From the hidden state before it to the same.
    """

    def __init__(self, inputs: int, width: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.width = width
        self.reads = Linear(inputs, 4 * width, generator=generator)
        self.keeps = Linear(width, 4 * width, generator=generator, bias=False)

    def forward(self, vectors: Sequence[Tensor], ids: Sequence[Tensor]) -> Tensor:
        """Return the last hidden state (`SequenceEncoder`)."""
        events, present = events_of(vectors, ids)
        read = self.reads(events)
        hidden = cell = events.new_zeros(*events.shape[:-2], self.width)
        for step in reversed(range(events.shape[-2])):
            gates = (read[..., step, :] + self.keeps(hidden)).chunk(4, -1)
            there = present[..., step].unsqueeze(-1)
            fresh = gates[1].sigmoid() * cell + gates[0].sigmoid() * gates[2].tanh()
            hidden = torch.where(there, gates[3].sigmoid() * fresh.tanh(), hidden)
            cell = torch.where(there, fresh, cell)
        return hidden


def build(spec: schema.Sequence, widths: tuple[int, ...], generator: torch.Generator) -> LSTM:
    """Return the encoder that `spec` describes."""
    return LSTM(sum(widths), spec.width or sum(widths), generator=generator)
