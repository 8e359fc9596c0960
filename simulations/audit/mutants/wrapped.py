"""A real engine with something broken around it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from client.private.clipping import Group
from client.private.engines import Engine, engine
from client.private.noise import Noise


class Wrapped:
    """Around a real engine, a fresh one for every step, so that the whole model lies open between steps."""

    def __init__(
        self,
        mode: Any,
        model: nn.Module,
        groups: Sequence[Group],
        *,
        learning_rate: float,
        divisor: float,
        noise: Noise,
    ) -> None:
        self.model, self.rate = model, learning_rate / divisor
        constants: dict[str, Any] = {"learning_rate": learning_rate, "divisor": divisor, "noise": noise}
        self.fresh = partial(engine, mode, model, self.groups(groups), **constants)

    def groups(self, groups: Sequence[Group]) -> Sequence[Group]:
        """Return what the real engine clips."""
        return groups

    def step(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        """Take one step (`Engine.step`)."""
        self.take(losses, unit_of_row, units)

    def take(self, losses: Callable[[], Tensor], unit_of_row: Tensor, units: int) -> None:
        """Take one real step, with all its noise."""
        inner: Engine = self.fresh()
        inner.step(losses, unit_of_row, units)
        inner.release()

    def release(self) -> None:
        """Nothing is owed."""
