"""What a weighting method sees of a step, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

Memory = Mapping[str, Tensor]
"""What a method keeps between rounds, under names that begin with a task's."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of local training, before its backward pass. Tasks without a labelled row are left out.

    Attributes:
        losses: Task -> what is minimised, in the graph: weight x sum of row losses / B, a scalar.
        means: Task -> mean of its row losses.
        shared: Parameters that the tasks have in common.
    """

    losses: Mapping[str, Tensor]
    means: Mapping[str, float]
    shared: Sequence[nn.Parameter]


class Weigher(Protocol):
    """Gives every task of a step its factor."""

    def factors(self, step: Step) -> Mapping[str, float]:
        """Return the factor of every task of the step; called once a step, in order."""

    def memory(self) -> Memory:
        """Return what the next round must know."""
