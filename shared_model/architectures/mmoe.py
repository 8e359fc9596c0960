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
from ..blocks import Parts, Tasks, mixture, softmax, zeroed
from ..features import Encoded, FeatureEncoder
from ..layers import Bank, Linear

READS = (schema.Numeric, schema.Categorical, schema.Multi, schema.Text, schema.Vector, schema.Sequence)


class MMoE(nn.Module):
    """One mixture of experts per task, shape (..., B, hidden[-1])."""

    parts = Parts(stay=("gate",))

    def __init__(self, inputs: int, spec: schema.MMoE, tasks: Tasks, *, generator: torch.Generator) -> None:
        super().__init__()
        self.width, self._tasks, self._experts = spec.hidden[-1], tuple(sorted(tasks.all)), spec.experts
        widths = (inputs, *spec.hidden)
        self.experts = nn.ModuleList(
            Bank(spec.experts, i, o, shared_input=depth == 0, generator=generator)
            for depth, (i, o) in enumerate(itertools.pairwise(widths))
        )
        self.gate = zeroed(Linear(inputs, len(self._tasks) * spec.experts, generator=generator))

    def forward(self, encoded: Encoded, tasks: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the mixture of each of `tasks`."""
        x = experts = encoded.joined
        for layer in self.experts:
            experts = layer(experts).relu()  # (..., E, B, D)
        gates = softmax(self.gate(x).unflatten(-1, (len(self._tasks), self._experts)))  # (..., B, T, E)
        mixed = dict(zip(self._tasks, mixture(gates, experts).unbind(-2), strict=True))
        return {task: mixed[task] for task in tasks}


def build(spec: schema.Bottom, encoder: FeatureEncoder, tasks: Tasks, generator: torch.Generator) -> MMoE:
    """Return the bottom that `spec` describes.

    Raises:
        TypeError: `spec` describes another architecture.
    """
    if not isinstance(spec, schema.MMoE):
        raise TypeError(f"Expected an MMoE, got {spec.architecture}.")
    return MMoE(encoder.dense_width + encoder.embedded_width, spec, tasks, generator=generator)
