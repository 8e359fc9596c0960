"""The mode `bookkeeping`: one backward to the outputs of layers; norms and sums from what they recorded.

It is built on the extension points of Opacus: a grad-sample module, which here keeps records instead of
per-sample gradients, and a `DPOptimizer`, whose step is clip, add noise, divide, update; so what attaches to
an Opacus optimizer (a step hook, an accountant) attaches to this one.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from opacus.grad_sample import AbstractGradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from shared_model.memory import keep_freed_memory

from .clipping import Group, combined_multiplier, joint_norm
from .noise import Noise
from .ownership import trained
from .records import GroupOf, Losses, Recorded, clipped_sums, record
from .tables import Store, stored
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
        keep_freed_memory()
        self._tables, group_of = stored(
            model, trained(model, groups), rate=learning_rate / divisor, noise=noise
        )
        self.module = RecordingModule(model)
        self.optimizer = BookkeepingOptimizer(
            self.module,
            self._tables.stores,
            group_of,
            learning_rate=learning_rate,
            divisor=divisor,
            noise=noise,
        )

    def step(self, losses: Losses, unit_of_row: Tensor, units: int) -> None:
        """Take one noisy step; without rows `losses` is not called and noise alone moves the parameters."""
        with self._tables.open():
            self.module.record(losses, Units(unit_of_row, units))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def release(self) -> None:
        """Add the noise that rows of tables are owed, and put the tables back into the model."""
        for store in self._tables.stores:
            store.release()


class RecordingModule(AbstractGradSampleModule):  # type: ignore[misc]
    """Opacus's wrapper around a model, for a model whose layers leave records."""

    recorded: Recorded | None = None
    checked = False

    def record(self, losses: Losses, units: Units) -> None:
        """Keep the records of one batch for the optimizer (errors as in `records.record`).

        The first batch with several rows shows that no row's loss depends on another row.
        """
        self.recorded = record(losses, units, check=not self.checked)
        self.checked = self.checked or units.rows > 1

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
        stores: Sequence[Store],
        group_of: GroupOf,
        *,
        learning_rate: float,
        divisor: float,
        noise: Noise,
    ) -> None:
        """Wrap plain SGD over the trained parameters; tables move by themselves."""
        groups = set(group_of.values())
        super().__init__(
            torch.optim.SGD(list(group_of), lr=learning_rate, foreach=False),
            noise_multiplier=combined_multiplier(groups),
            max_grad_norm=joint_norm(groups),
            expected_batch_size=divisor,
        )
        self._module, self._stores, self._group_of, self._noise = module, stores, group_of, noise
        self._rate = learning_rate / divisor
        tables = {store.weight for store in stores}
        self._dense: dict[Group, list[nn.Parameter]] = {}
        for parameter, group in group_of.items():
            if parameter not in tables:
                self._dense.setdefault(group, []).append(parameter)

    @property
    def grad_samples(self) -> list[Tensor]:
        """Per-sample gradients are never made; Opacus asks only whether anything is trained."""
        return [p.data for p in self._group_of]

    @property
    def accumulated_iterations(self) -> int:
        """One batch makes one step."""
        return 1

    def clip_and_accumulate(self) -> None:
        """Leave on every trained parameter the sum over units of clipped gradients."""
        sums = clipped_sums(self._module.take(), self._group_of)
        for parameter in self._group_of:
            parameter.summed_grad = sums.get(parameter)  # type: ignore[attr-defined]

    def add_noise(self) -> None:
        """Add the noise of its group to every coordinate of every sum; tables owe theirs (`tables.Store`)."""
        for group, parameters in self._dense.items():
            sizes = [parameter.numel() for parameter in parameters]
            whole = self._noise.normal_(parameters[0].data.new_empty(sum(sizes))).mul_(group.noise_std)
            for parameter, drawn in zip(parameters, torch.split(whole, sizes), strict=True):
                found: Tensor | None = parameter.summed_grad  # type: ignore[attr-defined]
                parameter.grad = drawn.view_as(parameter)
                if found is not None:
                    parameter.grad.add_(found)  # a sum in float64 is rounded only now, with the noise in it

    def scale_grad(self) -> None:
        """Divide by the public divisor."""
        for parameter in itertools.chain(*self._dense.values()):
            assert parameter.grad is not None  # `add_noise` has set it
            parameter.grad.div_(self.expected_batch_size)

    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Take the step that Opacus takes, then move the tables; autograd looks away, which saves time.

        Raises:
            ValueError: There is a closure; the batch is recorded before, by the module.
        """
        if closure is not None:
            raise ValueError("Expected no closure: a private step takes the batch that was recorded.")
        with torch.inference_mode():
            super().step()
            for store in self._stores:
                store.update(store.weight.summed_grad, self._rate)  # type: ignore[attr-defined]
        for parameter in self._group_of:  # sums without noise stay with nobody
            parameter.summed_grad = None  # type: ignore[attr-defined]

    def signal_skip_step(self, do_skip: bool = True) -> None:
        """Refuse: a step is one batch, whose size no memory limits here.

        Raises:
            ValueError: Always, if a step is to be skipped.
        """
        if do_skip:
            raise ValueError("A private step cannot be put together from several batches.")
