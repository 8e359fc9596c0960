"""Domain adaptation: a discriminator guesses a row's domain, and the bottom learns to leave it guessing.

The discriminator reads the representation through a gradient reversal: forward it changes nothing, backward
it multiplies by -lambda. So one step moves the discriminator towards telling domains apart, and everything
below the reversal the other way. It is shared and travels; a merchant trains it on all its rows, labelled or
not, with its own domain as their label.

What that means in a federation: a merchant sees one class. In its local steps the discriminator can only
learn to name it always, whatever the row, and the bottom only to shake it off; telling apart happens in the
mean over merchants. With one local step a round (plain SGD, full batches) that mean is the step on all rows
in one place (`tests/client/test_adaptation.py`); the more local steps, the less of it is left. lambda is
constant, since a model does not know which round it is in; the paper lets it grow from 0.

Rows stay independent of one another and the reversal acts on each row's own gradient, so what is clipped
under `[privacy]` is exactly what a row adds to the step (`tests/client/private/test_adaptation.py`).

Notation: B rows, D width of a representation, S domains.

Source: Ganin et al. (2016), "Domain-Adversarial Training of Neural Networks", equations 11 to 18 and
section 4.2, https://arxiv.org/abs/1505.07818.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from . import schema
from .blocks import Tower
from .layers import Linear


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse(x: Tensor, strength: float) -> Tensor:
    """Return x, whose gradient is -strength times that of what is returned.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> (3 * reverse(x, 0.5)).backward()
    >>> float(x.grad)
    -1.5
    """
    reversed_: Tensor = _Reversal.apply(x, strength)  # type: ignore[no-untyped-call]
    return reversed_


class Discriminator(nn.Module):
    """Guesses the domain of a row from its representation, behind the reversal.

    Attributes:
        domain: Position of the merchant's own domain; None where nothing is trained.

    Shapes:
        z (..., B, D), logits (..., B, S).
    """

    def __init__(
        self, spec: schema.Adaptation, width: int, *, domain: str | None, generator: torch.Generator
    ) -> None:
        """Make the discriminator of `spec` for representations of `width`, at a merchant of `domain`.

        Raises:
            ValueError: There is no such domain.
        """
        super().__init__()
        self.domain = None if domain is None else spec.domains.index(domain)
        self._strength = spec.strength
        hidden = (spec.hidden,) if spec.hidden else ()
        self.tower = Tower(width, hidden, generator=generator)
        self.guess = Linear(hidden[-1] if hidden else width, len(spec.domains), generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits of the domains for z."""
        guessed: Tensor = self.guess(self.tower(reverse(z, self._strength)))
        return guessed

    def row_losses(self, representations: Iterable[Tensor]) -> Tensor:
        """Return what every row loses by being recognised badly, shape (..., B).

        It is the cross-entropy of the merchant's own domain, averaged over the representations, of which
        equal ones (the same tensor for several tasks) count once.

        Raises:
            ValueError: The merchant has no domain.
        """
        if self.domain is None:
            raise ValueError("Expected a merchant with a domain.")
        distinct = {id(z): z for z in representations}
        losses = []
        for z in distinct.values():
            logits = self(z)
            losses.append(logits.logsumexp(-1) - logits[..., self.domain])
        return torch.stack(losses).mean(0)
