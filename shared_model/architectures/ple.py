"""Experts shared by all tasks and experts of each task, mixed level by level.

Source: Tang et al. (2020), "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model for
Personalized Recommendations": equations 1 to 3 for one level (customized gate control), equations 5 and 6
for several. Notation: E experts that a gate mixes.

On every level a task mixes its own experts and the shared ones, by a gate that reads what the task mixed on
the level below; the shared experts of the next level read a mixture of all common experts of this one.

What travels: the feature tables of shared scope, the shared experts, the experts of common tasks, the tasks'
priors. What stays: local tables, heads, all gates, and the experts of the merchant's own tasks. Own tasks
read the shared experts, but their experts do not enter the shared mixture: else what travels would read
something else at every merchant. Gates start at zero: before a merchant trains them, all experts count the
same, at every merchant alike.
"""

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .. import schema
from ..blocks import Named, Parts, Tasks, mixture, softmax, zeroed
from ..features import Encoded, FeatureEncoder
from ..layers import Bank, Linear

READS = (schema.Numeric, schema.Categorical, schema.Multi, schema.Text, schema.Vector, schema.Sequence)


class Level(nn.Module):
    """One level: shared experts, every task's experts, every task's gate, and the gate of what goes on."""

    def __init__(
        self,
        inputs: int,
        width: int,
        spec: schema.PLE,
        tasks: Tasks,
        *,
        last: bool,
        generator: torch.Generator,
    ) -> None:
        """Make a level; the `last` one has no gate of what goes on."""
        super().__init__()
        self.shared = Bank(spec.experts, inputs, width, shared_input=True, generator=generator)
        self.experts = Named(
            {
                task: Bank(spec.task_experts, inputs, width, shared_input=True, generator=generator)
                for task in (tasks.all if spec.task_experts else ())
            }
        )
        seen = spec.experts + spec.task_experts
        self.gates = Named({t: zeroed(Linear(inputs, seen, generator=generator)) for t in tasks.all})
        everybody = spec.experts + spec.task_experts * len(tasks.common)
        self.shared_gate = None if last else zeroed(Linear(inputs, everybody, generator=generator))
        self._common = tasks.common

    def forward(self, paths: Mapping[str, Tensor], shared: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return what every task of `paths` mixes, and what goes on to the next level's shared experts.

        Args:
            paths: Task -> what it mixed on the level below, shape (..., B, I).
            shared: What the shared experts read, of the same shape.
        """
        found = self.shared(shared).relu()
        of_task = {t: self.experts[t](x).relu() for t, x in paths.items() if t in self.experts}
        mixed = {
            t: _mixed(self.gates[t], x, [found, *([of_task[t]] if t in of_task else [])])
            for t, x in paths.items()
        }
        if self.shared_gate is None:
            return mixed, shared
        everybody = [found, *(of_task[t] for t in self._common if t in of_task)]
        return mixed, _mixed(self.shared_gate, shared, everybody)


class PLE(nn.Module):
    """What every task mixes on the last level, shape (..., B, hidden[-1])."""

    def __init__(self, inputs: int, spec: schema.PLE, tasks: Tasks, *, generator: torch.Generator) -> None:
        super().__init__()
        self.width, self._common = spec.hidden[-1], tasks.common
        last = len(spec.hidden) - 1
        self.levels = nn.ModuleList(
            Level(i, o, spec, tasks, last=level == last, generator=generator)
            for level, (i, o) in enumerate(itertools.pairwise((inputs, *spec.hidden)))
        )
        self.parts = _parts(tasks, last)

    def forward(self, encoded: Encoded, tasks: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the mixture of each of `tasks`."""
        shared = encoded.joined
        paths = dict.fromkeys((*self._common, *tasks), shared)
        for level in self.levels:
            if level is self.levels[-1]:
                paths = {task: paths[task] for task in tasks}
            paths, shared = level(paths, shared)
        return paths


def _parts(tasks: Tasks, last: int) -> Parts:
    """Below the last level, experts of common tasks serve everybody, through the shared mixture."""
    levels = [f"levels.{level}" for level in range(last + 1)]
    gates = [f"{level}.{gate}" for level in levels for gate in ("gates", "shared_gate")]
    own = [f"{level}.experts.{task}" for level in levels for task in tasks.own]
    of_task = {f"{level}.gates.{task}": frozenset({task}) for level in levels for task in tasks.all}
    of_task |= {f"{level}.experts.{task}": frozenset({task}) for level in levels for task in tasks.own}
    of_task |= {f"levels.{last}.experts.{task}": frozenset({task}) for task in tasks.common}
    return Parts((*gates, *own), of_task)


def _mixed(gate: nn.Module, x: Tensor, experts: list[Tensor]) -> Tensor:
    """Mix experts, (..., E, B, D) together, by the gate's weights for x, (..., B, I); shape (..., B, D)."""
    weights = softmax(gate(x)).unsqueeze(-2)
    return mixture(weights, torch.cat(experts, -3)).squeeze(-2)


def build(spec: schema.Bottom, encoder: FeatureEncoder, tasks: Tasks, generator: torch.Generator) -> PLE:
    """Return the bottom that `spec` describes.

    Raises:
        TypeError: `spec` describes another architecture.
    """
    if not isinstance(spec, schema.PLE):
        raise TypeError(f"Expected a PLE, got {spec.architecture}.")
    return PLE(encoder.dense_width + encoder.embedded_width, spec, tasks, generator=generator)
