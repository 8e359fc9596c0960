"""What becomes of gradients of several tasks that pull the same parameters into different directions.

The rules are TorchJD's. They take a Jacobian, one gradient a row, and return one direction. Some are defined
by sums, others by means; here each is scaled so that gradients of one length at right angles to each other,
which are in nobody's way, give their sum (`tests/client/test_conflicts.py`). So a learning rate means the
same under all of them.

Notation: T tasks, P parameters.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchjd import aggregation
from torchjd.aggregation import Aggregator

from shared_model.schema import Conflict

from .dual_cone import NonNegative

_C = 0.5
"""Radius of CAGrad's ball, the middle of the range that its paper tries."""


class Rule(NamedTuple):
    """One row of the table.

    Attributes:
        make: Returns TorchJD's aggregator for T gradients.
        scale: What its result is multiplied with.
    """

    make: Callable[[int], Aggregator]
    scale: Callable[[int], float]


def _as_it_is(tasks: int) -> float:
    return 1.0


RULES: dict[Conflict, Rule] = {
    "pcgrad": Rule(lambda t: aggregation.PCGrad(), _as_it_is),  # Yu et al. (2020)
    "gradvac": Rule(lambda t: aggregation.GradVac(), _as_it_is),  # Wang et al. (2021)
    "graddrop": Rule(lambda t: aggregation.GradDrop(), _as_it_is),  # Chen et al. (2020)
    "cagrad": Rule(lambda t: aggregation.CAGrad(c=_C), lambda t: t / (1 + _C)),  # Liu et al. (2021)
    "mgda": Rule(lambda t: aggregation.MGDA(), float),  # Desideri (2012), Sener and Koltun (2018)
    # Navon et al. (2022): G x = 1 / x, which is alpha-fairness at alpha = 1 (Ban and Ji 2024)
    "nash_mtl": Rule(lambda t: aggregation.FairGrad(alpha=1.0), lambda t: 1 / math.sqrt(t)),
    "upgrad": Rule(lambda t: aggregation.UPGrad(_ones(t), NonNegative()), _as_it_is),  # Quinton, Rey (2024)
    "dualproj": Rule(lambda t: aggregation.DualProj(_ones(t), NonNegative()), _as_it_is),  # Lopez-Paz (2017)
    "imtl_g": Rule(lambda t: aggregation.IMTLG(), float),  # Liu et al. (2021)
    "aligned_mtl": Rule(lambda t: aggregation.AlignedMTL(_ones(t)), _as_it_is),  # Senushkin et al. (2023)
    "config": Rule(lambda t: aggregation.ConFIG(), _as_it_is),  # Liu et al. (2025)
}


class Resolver:
    """A rule at work for one round; what it remembers ends with the round.

    Guarantee: the result is a function of the Jacobians it was given and of its own draws, nothing else.
    """

    def __init__(self, conflict: Conflict, generator: torch.Generator) -> None:
        """Take the rule `conflict`; `generator` is drawn from by those that choose at random."""
        self._rule, self._generator = RULES[conflict], generator
        self._made: dict[int, Aggregator] = {}

    def __call__(self, jacobian: Tensor) -> Tensor:
        """Return one direction, shape (P,), for the gradients (T, P) of the tasks.

        A task without a gradient has no say. What is not finite is added up, and found later.
        """
        rows = jacobian[jacobian.any(1)]
        length = rows.norm()
        if len(rows) < 2 or not length.isfinite():
            return jacobian.sum(0)
        with _drawing_from(self._generator):
            found: Tensor = self._aggregator(len(rows))(rows.double() / length)
        scaled: Tensor = self._rule.scale(len(rows)) * length * found
        return scaled.to(jacobian.dtype)

    def backward(
        self, losses: Sequence[Tensor], shared: Sequence[nn.Parameter], own: Sequence[nn.Parameter]
    ) -> None:
        """Add the gradients of a step: the rule's of what tasks share, of everything else the sum.

        Args:
            losses: Of the tasks, scalars.
            shared: What the rule looks at.
            own: What one task alone moves: heads, experts of a task.
        """
        found = self(jacobian_of(losses, shared))
        total = torch.stack(list(losses)).sum()
        for parameter, part in zip(shared, torch.split(found, [p.numel() for p in shared]), strict=True):
            _add(parameter, part.view_as(parameter))
        found_alone = torch.autograd.grad(total, own, allow_unused=True) if own else ()
        for parameter, gradient in zip(own, found_alone, strict=True):
            if gradient is not None:
                _add(parameter, gradient)

    def _aggregator(self, tasks: int) -> Aggregator:
        if tasks not in self._made:
            self._made[tasks] = self._rule.make(tasks)
        return self._made[tasks]


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def jacobian_of(losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the gradient of every loss, a scalar each, in all parameters; shape (T, P)."""
    rows = []
    for loss in losses:
        found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        parts = zip(found, parameters, strict=True)
        rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in parts]))
    return torch.stack(rows)


def _ones(tasks: int) -> Tensor:
    return torch.ones(tasks, dtype=torch.float64)


@contextmanager
def _drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Let what draws from torch's global generator draw from `generator`; the global one stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        yield
