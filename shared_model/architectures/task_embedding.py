"""One network that is told by a vector which task it works for.

The first layer computes W x + b + V e_t, with e_t the vector of the task. Source: vectors that are learnt
and stand beside the inputs of the first layer, as in Zintgraf et al. (2019), "Fast Context Adaptation via
Meta-Learning"; there, too, the vector belongs to a task and the network to all of them.

What travels: the feature tables of shared scope, the network, V, the vectors of common tasks, the tasks'
priors. What stays: local tables, heads and the vectors of the merchant's own tasks. Another task costs
`width` numbers in the bottom, so this is the architecture for many small tasks.
"""

import torch
from torch import Tensor, nn

from .. import schema
from ..blocks import Named, Parts, Tasks, Tower
from ..features import Encoded, FeatureEncoder
from ..layers import Embedding, Linear

READS = (schema.Numeric, schema.Categorical, schema.Multi, schema.Text, schema.Vector, schema.Sequence)


class TaskEmbedding(nn.Module):
    """The network's output for each task, shape (..., B, hidden[-1])."""

    def __init__(
        self, inputs: int, spec: schema.TaskEmbedding, tasks: Tasks, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.width = spec.hidden[-1]
        self.first = Linear(inputs, spec.hidden[0], generator=generator)
        self.condition = Linear(spec.width, spec.hidden[0], bias=False, generator=generator)
        self.rest = Tower(spec.hidden[0], spec.hidden[1:], generator=generator)
        # a table of one row beside the missing one each: an own task changes no common task's table
        self.vectors = Named({t: Embedding(2, spec.width, generator=generator) for t in tasks.all})
        self.parts = Parts(
            tuple(f"vectors.{task}" for task in tasks.own),
            {f"vectors.{task}": frozenset({task}) for task in tasks.all},
        )

    def forward(self, encoded: Encoded, tasks: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the network's output for each of `tasks`."""
        x = self.first(encoded.joined)
        # the vector once per row, so that every row has its own share of the vector's gradient
        told = torch.ones(x.shape[:-1], dtype=torch.long, device=x.device)
        return {task: self.rest((x + self.condition(self.vectors[task](told))).relu()) for task in tasks}


def build(
    spec: schema.Bottom, encoder: FeatureEncoder, tasks: Tasks, generator: torch.Generator
) -> TaskEmbedding:
    """Return the bottom that `spec` describes.

    Raises:
        TypeError: `spec` describes another architecture.
    """
    if not isinstance(spec, schema.TaskEmbedding):
        raise TypeError(f"Expected a task embedding, got {spec.architecture}.")
    return TaskEmbedding(encoder.dense_width + encoder.embedded_width, spec, tasks, generator=generator)
