"""The two ways to take a private step; both are the same mechanism, one is the yardstick of the other."""

from collections.abc import Sequence
from typing import Literal, Protocol

from torch import Tensor, nn

from .bookkeeping import Bookkeeping
from .clipping import Group
from .noise import Noise
from .opacus_hooks import Hooks
from .records import Losses

Mode = Literal["bookkeeping", "hooks"]


class Engine(Protocol):
    """Takes noisy steps on one model.

    A step clips the gradient of every unit (the sum of its rows' gradients) to the clipping norm of each
    group, sums, adds Gaussian noise to every coordinate, divides by a public constant, and moves the
    parameters against the result times a public learning rate.
    """

    def step(self, losses: Losses, unit_of_row: Tensor, units: int) -> None:
        """Take one step.

        Args:
            losses: Runs the forward pass on the drawn rows; returns one loss per row, shape (B,), already
                weighted. Not called for an empty batch, which still adds noise.
            unit_of_row: The owner of every row, shape (B,), int64 in [0, units), in any order.
            units: How many units were drawn; some may own no row.

        Raises:
            PrivacyError: There is not one loss per row, or a layer has its rows where no rule looks for them.
        """

    def release(self) -> None:
        """Add all noise that is still owed; only then may parameters leave."""


def engine(
    mode: Mode,
    model: nn.Module,
    groups: Sequence[Group],
    *,
    learning_rate: float,
    divisor: float,
    noise: Noise,
) -> Engine:
    """Return an engine for `model`.

    Args:
        mode: `bookkeeping`, or `hooks`, the slow reference.
        model: Changed in place by every step.
        groups: What is trained, and how it is clipped; a parameter in no group does not move.
        learning_rate: Public.
        divisor: B, public; never a count of rows or units that were drawn.
        noise: `SecureNoise()` wherever something is released.

    Raises:
        PrivacyError: A trained parameter has no rule, or is not in exactly one group.
    """
    return _ENGINES[mode](model, groups, learning_rate=learning_rate, divisor=divisor, noise=noise)


_ENGINES: dict[Mode, type[Bookkeeping] | type[Hooks]] = {"bookkeeping": Bookkeeping, "hooks": Hooks}
