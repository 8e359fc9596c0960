"""The mode `bookkeeping`: one backward to the outputs of layers; norms and sums from what they recorded.

It is built on the extension points of Opacus: a grad-sample module, which here keeps records instead of
per-sample gradients, and a `DPOptimizer`, whose step is clip, add noise, divide, update; so what attaches to
an Opacus optimizer (a step hook, an accountant) attaches to this one.
"""

from collections.abc import Sequence

import torch
from opacus.grad_sample import AbstractGradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from .clipping import Group, combined_multiplier, joint_norm
from .noise import Noise
from .ownership import trained
from .records import GroupOf, Losses, Recorded, clipped_sums, record
from .rules import Rows
from .units import Units


class Bookkeeping:
    """DP-SGD on one model: an `Engine` (`client/private/engines.py`).

    Attributes:
        module: The model, wrapped for Opacus.
        optimizer: What clips, adds noise and updates; step hooks of Opacus attach here.
    """

    def __init__(
        self, model: nn.Module, groups: Sequence[Group], *, learning_rate: float, divisor: float, noise: Noise
    ) -> None:
        """Check that every trained parameter has a rule and a group (errors as in `ownership.trained`)."""
        group_of = trained(model, groups)
        self.module = RecordingModule(model)
        self.optimizer = BookkeepingOptimizer(
            self.module, group_of, learning_rate=learning_rate, divisor=divisor, noise=noise
        )

    def step(self, losses: Losses, unit_of_row: Tensor, units: int) -> None:
        """Take one noisy step; without rows `losses` is not called and noise alone moves the parameters."""
        self.module.record(losses, Units(unit_of_row, units))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def release(self) -> None:
        """Nothing is owed: every step adds all of its noise."""


class RecordingModule(AbstractGradSampleModule):  # type: ignore[misc]
    """Opacus's wrapper around a model, for a model whose layers leave records."""

    recorded: Recorded | None = None

    def record(self, losses: Losses, units: Units) -> None:
        """Keep the records of one batch for the optimizer (errors as in `records.record`)."""
        self.recorded = record(losses, units)

    def take(self) -> Recorded:
        """Return the records of the last batch, once: a batch is never used for two steps."""
        recorded, self.recorded = self.recorded, None
        if recorded is None:
            raise ValueError("Expected the records of a batch; `record` comes before every step.")
        return recorded

    def remove_hooks(self) -> None:
        """There are none: layers record by themselves."""


class BookkeepingOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus's optimizer with exact per-unit clipping per group, from records.

    Its `noise_multiplier` is that of all groups together where each unit counts once in each.
    """

    def __init__(
        self,
        module: RecordingModule,
        group_of: GroupOf,
        *,
        learning_rate: float,
        divisor: float,
        noise: Noise,
    ) -> None:
        """Wrap plain SGD over the trained parameters."""
        groups = set(group_of.values())
        super().__init__(
            torch.optim.SGD(list(group_of), lr=learning_rate),
            noise_multiplier=combined_multiplier(groups),
            max_grad_norm=joint_norm(groups),
            expected_batch_size=divisor,
        )
        self._module, self._group_of, self._noise = module, group_of, noise

    @property
    def grad_samples(self) -> list[Tensor]:
        """Per-sample gradients are never made; Opacus asks only whether anything is trained."""
        return [p.data for p in self.params]

    @property
    def accumulated_iterations(self) -> int:
        """One batch makes one step."""
        return 1

    def clip_and_accumulate(self) -> None:
        """Leave on every trained parameter the sum over units of clipped gradients."""
        sums = clipped_sums(self._module.take(), self._group_of)
        for parameter in self._group_of:
            found = sums.get(parameter)
            parameter.summed_grad = _dense(found, parameter.data)  # type: ignore[attr-defined]

    def add_noise(self) -> None:
        """Add the noise of its group to every coordinate of every sum."""
        for parameter, group in self._group_of.items():
            drawn = self._noise.normal_(torch.empty_like(parameter.data))
            parameter.grad = drawn.mul_(group.noise_std).add_(parameter.summed_grad)  # type: ignore[attr-defined]


def _dense(found: Tensor | Rows | None, like: Tensor) -> Tensor:
    """Return a sum in the shape of its parameter."""
    if isinstance(found, Rows):
        return torch.zeros_like(like).index_add_(0, *found)
    return torch.zeros_like(like) if found is None else found
