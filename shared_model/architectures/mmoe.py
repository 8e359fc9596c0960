"""Several expert networks; each task mixes them by a gate of its own.

Source: Ma et al. (2018), "Modeling Task Relationships in Multi-task Learning with Multi-gate
Mixture-of-Experts", equations 6 and 7. Notation: E experts, T tasks.

What travels: the feature tables of shared scope, the experts, the tasks' priors. What stays: local tables,
heads and the gates, so that each merchant weighs the common experts for itself. A gate starts at zero: before
a merchant trains it, all experts count the same, at every merchant alike, so the prior speaks for newcomers.
"""

import itertools

import torch
from torch import Tensor, nn

from .. import schema
from ..features import Encoded, FeatureEncoder
from ..layers import Bank, Linear

READS = (schema.Numeric, schema.Categorical, schema.Multi, schema.Text, schema.Vector, schema.Sequence)


class MMoE(nn.Module):
    """One mixture of experts per task, shape (..., B, hidden[-1])."""

    local_parts: tuple[str, ...] = ("gate",)

    def __init__(
        self, inputs: int, spec: schema.MMoE, tasks: tuple[str, ...], *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.width, self._tasks, self._experts = spec.hidden[-1], tasks, spec.experts
        widths = (inputs, *spec.hidden)
        self.experts = nn.ModuleList(
            Bank(spec.experts, i, o, shared_input=depth == 0, generator=generator)
            for depth, (i, o) in enumerate(itertools.pairwise(widths))
        )
        self.gate = Linear(inputs, len(tasks) * spec.experts, generator=generator)
        for parameter in self.gate.parameters():
            nn.init.zeros_(parameter)

    def forward(self, encoded: Encoded) -> dict[str, Tensor]:
        """Return every task's mixture."""
        x = experts = encoded.joined
        for layer in self.experts:
            experts = layer(experts).relu()  # (..., E, B, D)
        gates = self.gate(x).unflatten(-1, (len(self._tasks), self._experts)).softmax(-1)  # (..., B, T, E)
        mixed = torch.matmul(gates, experts.transpose(-3, -2))  # (..., B, T, D)
        return dict(zip(self._tasks, mixed.unbind(-2), strict=True))


def build(
    spec: schema.Bottom, encoder: FeatureEncoder, tasks: tuple[str, ...], generator: torch.Generator
) -> MMoE:
    """Return the bottom that `spec` describes.

    Raises:
        TypeError: `spec` describes another architecture.
    """
    if not isinstance(spec, schema.MMoE):
        raise TypeError(f"Expected an MMoE, got {spec.architecture}.")
    return MMoE(encoder.dense_width + encoder.embedded_width, spec, tasks, generator=generator)
