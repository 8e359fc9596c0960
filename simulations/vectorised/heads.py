"""Heads of a cohort that read the same vectors, as one layer.

Heads are narrow: a product of matrices for each of them costs a cohort more in calls than in arithmetic. So
the priors of all tasks that read the same are one layer here, their own parts another, and since logits are
the sum of both, one product makes those of all tasks.

Notation: as in the package; D numbers that heads read, O logits of all of these tasks.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from shared_model.heads import Head
from shared_model.layers import Linear, recorded

from .stack import Stack


class Block(NamedTuple):
    """Numbers that lie together: a parameter with a merchant axis, and those of the model that it holds."""

    parameter: nn.Parameter
    names: tuple[str, ...]


class WideHead:
    """The heads of tasks that read the same.

    Attributes:
        tasks: Their names, in the order of their logits.
        layers: One for the priors and one for the own parts, where they speak; (M, O, D) their weights.
        blocks: The parameters of these layers. Those of the model's heads are views of them.
    """

    def __init__(self, stack: Stack, tasks: Sequence[str], *, own: bool) -> None:
        """Put the heads of `tasks` side by side.

        Args:
            stack: Holds them; it does so afterwards, too.
            tasks: Alike in whether they have a prior.
            own: Whether their own parts speak.
        """
        self.tasks, heads = tuple(tasks), [stack.model.head(task) for task in tasks]
        self._outputs = [head.own.weight.shape[-2] for head in heads]
        parts = [name for name, speaks in (("prior", heads[0].uses_prior), ("own", own)) if speaks]
        self.layers, self.blocks = list[Linear](), list[Block]()
        self._weights, self._biases = list[nn.Parameter](), list[nn.Parameter]()
        for part in parts:
            weight, bias = (self._joined(stack, part, kind) for kind in ("weight", "bias"))
            self.layers.append(_linear(weight.parameter, bias.parameter))
            self.blocks += [weight, bias]
            self._weights.append(weight.parameter)
            self._biases.append(bias.parameter)

    def __call__(self, z: Tensor) -> Tensor:
        """Return the logits of all tasks side by side, (M, B, O), for what they read, (M, B, D)."""
        logits = torch.baddbmm(_sum(self._biases).unsqueeze(1), z, _sum(self._weights).mT)
        for layer in self.layers:
            recorded(layer, z, logits)
        return logits

    def each(self, logits: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield every task with its logits."""
        return zip(self.tasks, torch.split(logits, self._outputs, -1), strict=True)

    def _joined(self, stack: Stack, part: str, kind: str) -> Block:
        names = tuple(f"heads.{task}.{part}.{kind}" for task in self.tasks)
        whole = torch.cat([stack.model.get_parameter(name).data for name in names], 1)
        for name, numbers in zip(names, torch.split(whole, self._outputs, 1), strict=True):
            stack.hold(name, numbers)
        return Block(nn.Parameter(whole, requires_grad=False), names)


def _linear(weight: nn.Parameter, bias: nn.Parameter) -> Linear:
    layer = Linear(0, 0, generator=torch.Generator())
    layer.weight, layer.bias = weight, bias
    return layer


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def wide_heads(
    stack: Stack, tasks: Sequence[str], alike: Mapping[str, object], *, own: bool
) -> list[WideHead]:
    """Put those heads side by side that can be: heads whose logits are a linear map of what they read.

    Args:
        stack: Holds them.
        tasks: That are trained.
        alike: Task -> what heads have in common that lie side by side; other heads stay where they are.
        own: Whether own parts speak.
    """
    model, found = stack.model, dict[object, list[str]]()
    for number, task in enumerate(tasks):
        head = model.head(task)
        if task in alike and type(head) is Head and model.speaks_alone(task):
            reads = 0 if model.bottom.parts.alike else number
            found.setdefault((reads, head.uses_prior, alike[task]), []).append(task)
    return [WideHead(stack, together, own=own) for together in found.values()]


def blocks_of(parameters: Mapping[str, nn.Parameter], heads: Collection[WideHead]) -> list[Block]:
    """Return the parameters of a cohort, those of heads as they lie together; none twice."""
    wide = [block for head in heads for block in head.blocks if block.names[0] in parameters]
    held = frozenset(name for block in wide for name in block.names)
    return [*(Block(p, (name,)) for name, p in parameters.items() if name not in held), *wide]
