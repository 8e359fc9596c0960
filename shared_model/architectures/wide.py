"""No bottom at all: every task's prior is linear in the dense inputs (numbers, hinges, steps).

Source: the wide part of Cheng et al. (2016), "Wide & Deep Learning for Recommender Systems", without the
deep one. About 35 parameters a task on the shop features, which is why it keeps its gain under shopper-level
privacy where a 9,000-parameter network loses it.

What travels: the tasks' priors. What stays: their residuals.
"""

import torch
from torch import Tensor, nn

from .. import schema
from ..blocks import Parts, Tasks
from ..features import Encoded, FeatureEncoder

READS = (schema.Numeric,)


class Wide(nn.Module):
    """The representation of every task is the dense part itself, shape (..., B, dense_width)."""

    parts = Parts(alike=True)

    def __init__(self, encoder: FeatureEncoder) -> None:
        super().__init__()
        self.width = encoder.dense_width

    def forward(self, encoded: Encoded, tasks: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the dense inputs once per task."""
        return dict.fromkeys(tasks, encoded.dense)


def build(spec: schema.Bottom, encoder: FeatureEncoder, tasks: Tasks, generator: torch.Generator) -> Wide:
    """Return the bottom; it has no parameters, so neither `tasks` nor `generator` is read."""
    return Wide(encoder)
