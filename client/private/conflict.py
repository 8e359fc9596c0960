"""A private step under a rule for conflicts: one noised Jacobian, then a rule that costs nothing.

Of every unit the gradients of all tasks are clipped together, as one long vector, so that a step is one
Gaussian mechanism of sensitivity C, as a step of the engines is (`engines.py`). What is made of the noised
Jacobian afterwards looks at nothing else: the rule decides over the columns of what tasks share, and a head
takes the row of its own task.

The price is noise on T times as many numbers and the memory for them: tables are noised densely here.

Notation: B rows, T tasks, P trained parameters.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from client.conflicts import Resolver
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take
from shared_model.schema import Conflict

from .clipping import Group
from .jacobian import private_jacobian
from .noise import Noise

ToGrid = Callable[[Tensor, float], Tensor]


class JacobianSteps:
    """Takes steps like an `engines.Engine`; its losses have a task axis, shape (T, B)."""

    def __init__(
        self,
        model: MultiTaskModel,
        group: Group,
        tasks: Sequence[str],
        conflict: Conflict,
        *,
        learning_rate: float,
        divisor: float,
        noise: Noise,
        to_grid: ToGrid,
    ) -> None:
        """Store the parts.

        Args:
            model: Changed in place by every step.
            group: What is trained, and how it is clipped.
            tasks: Whose gradients the rows of the Jacobian are.
            conflict: The rule.
            learning_rate: Public.
            divisor: B, public.
            noise: Also decides what the rule draws.
            to_grid: Rounds the noised Jacobian, before anything else sees it (`grid.py`).
        """
        self._model, self._group, self._tasks = model, group, tuple(tasks)
        self._rate, self._noise, self._to_grid = learning_rate / divisor, noise, to_grid
        self._common = model.moved_by_several(group.parameters, tasks)
        self._resolve = Resolver(conflict, _generator(noise))
        self._checked = False

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        """Take one noisy step; without rows `losses` is not called and noise alone moves the parameters."""
        self._move(self.jacobian(losses, unit_of_row, units))

    def jacobian(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> Tensor:
        """Return all that a step says about units: the noised Jacobian on the grid, shape (T, P).

        The first batch with several rows shows that no row's loss depends on another row.
        """
        found = private_jacobian(
            self._model,
            self._group.parameters,
            losses,
            len(self._tasks),
            unit_of_row,
            units,
            clipping_norm=self._group.clipping_norm,
            noise_std=self._group.noise_std,
            noise=self._noise,
            check=not self._checked,
        )
        self._checked = self._checked or len(unit_of_row) > 1
        return self._to_grid(found, self._group.noise_std)

    def release(self) -> None:
        """Nothing is owed: every number has its noise already."""

    def _move(self, jacobian: Tensor) -> None:
        now = take(self._model, self._group.parameters)
        ends = torch.tensor([value.numel() for value in now.values()]).cumsum(0)
        columns = dict(zip(now, torch.tensor_split(jacobian, ends[:-1], dim=1), strict=True))
        common = [name for name in now if name in self._common]
        found = self._resolve(torch.cat([columns[name] for name in common], 1)) if common else torch.zeros(0)
        parts = torch.split(found, [now[name].numel() for name in common])
        chosen = dict(zip(common, parts, strict=True))
        chosen |= {name: columns[name][self._row(name)] for name in now if name not in chosen}
        load(self._model, {n: value - self._rate * chosen[n].view_as(value) for n, value in now.items()})

    def _row(self, parameter: str) -> int:
        """The row of the only task that moves a parameter; the first one's noise where none does."""
        movers = self._model.moved_by(parameter)
        return next((row for row, task in enumerate(self._tasks) if task in movers), 0)


def _generator(noise: Noise) -> torch.Generator:
    """Return a source of the rule's own draws, on which no promise rests: its seed is 24 bits of `noise`."""
    return torch.Generator().manual_seed(int(noise.uniform_(torch.empty(1)) * 2**24))
