"""One network whose last layer serves all tasks.

Source: Caruana (1997), "Multitask Learning", section 1.2 (hard parameter sharing).

What travels: the feature tables of shared scope, the network, the tasks' priors. What stays: local tables
and heads.
"""

import torch
from torch import Tensor, nn

from .. import schema
from ..blocks import Parts, Tasks, Tower
from ..features import Encoded, FeatureEncoder

READS = (schema.Numeric, schema.Categorical, schema.Multi, schema.Text, schema.Vector, schema.Sequence)


class SharedBottom(nn.Module):
    """The same representation for every task, shape (..., B, hidden[-1])."""

    parts = Parts(alike=True)

    def __init__(self, inputs: int, hidden: tuple[int, ...], *, generator: torch.Generator) -> None:
        super().__init__()
        self.width = hidden[-1]
        self.tower = Tower(inputs, hidden, generator=generator)

    def forward(self, encoded: Encoded, tasks: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the network's output once per task."""
        return dict.fromkeys(tasks, self.tower(encoded.joined))


def build(
    spec: schema.Bottom, encoder: FeatureEncoder, tasks: Tasks, generator: torch.Generator
) -> SharedBottom:
    """Return the bottom that `spec` describes.

    Raises:
        TypeError: `spec` describes another architecture.
    """
    if not isinstance(spec, schema.SharedBottom):
        raise TypeError(f"Expected a shared bottom, got {spec.architecture}.")
    inputs = encoder.dense_width + encoder.embedded_width
    return SharedBottom(inputs, spec.hidden, generator=generator)
