"""What the study of one merchant may be asked for."""

from dataclasses import dataclass

EPSILONS = (8.0, 4.0, 1.0)
SHARES = (0.25, 0.5, 1.0)
EXACT = 12
"""At most so many merchants have all their contributions measured unasked: each takes a training."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the study is made.

    Attributes:
        merchant: Who thinks of joining; it is one of the market's merchants.
        epsilons: Budgets to try beside the contract's own; None for `EPSILONS` where it has one.
        shares: Of the merchant's orders, for the learning curve; the last one is all of them.
        contributions: So many merchants are left out in turn, this one first and the others drawn at random;
            None for all of at most `EXACT`, else for this one alone.
        seeds: Only the first so many of the experiment; None for all.
    """

    merchant: str
    epsilons: tuple[float, ...] | None = None
    shares: tuple[float, ...] = SHARES
    contributions: int | None = None
    seeds: int | None = None
