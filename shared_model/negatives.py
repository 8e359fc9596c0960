"""The chosen item against all others: exactly, or against drawn ones that stand for them.

Notation: B rows, I items, S drawn items, K items of a row that are counted exactly.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .repeats import Earlier, traits, traits_of


class Exact(NamedTuple):
    """Items of each row that no draw stands for: the chosen one first, then what was bought before.

    Attributes:
        items: Positions, int64, shape (B, K).
        counts: Whether a place holds an item that stands in no place before it, boolean, shape (B, K).
        traits: What is known of earlier purchases of the items (`repeats.traits`), shape (B, K, 3).
    """

    items: Tensor
    counts: Tensor
    traits: Tensor


def exactly(chosen: Tensor, earlier: Earlier) -> Exact:
    """Return which items of rows are counted exactly.

    Args:
        chosen: Positions of the chosen items, shape (B,).
        earlier: What their shoppers bought before; H = 0 where that makes no difference to the scores.
    """
    first = chosen.unsqueeze(-1)
    others = earlier.known & (earlier.items != first)
    return Exact(
        items=torch.cat([first, earlier.items], -1),
        counts=torch.cat([torch.ones_like(first, dtype=torch.bool), others], -1),
        traits=torch.cat([traits_of(chosen, earlier).unsqueeze(-2), traits(earlier)], -2),
    )


def among_all(scores: Tensor, chosen: Tensor) -> Tensor:
    """Return the logit of the chosen item and that of all others together, (B, I) and (B,) -> (B, 2)."""
    place = chosen.unsqueeze(-1)
    others = scores.scatter(-1, place, nothing(scores)).logsumexp(-1)
    return torch.stack([scores.gather(-1, place).squeeze(-1), others], -1)


def standing(others: Tensor, exact: Exact, drawn: Tensor, items: int) -> Tensor:
    """Return the logits of drawn items, each standing for its share of those not counted exactly, (B, S).

    The items are drawn uniformly without replacement. Of I items K are counted exactly; with n drawn ones
    that are not among them, each stands for (I - K) / n, and one that is counted exactly for none.

    Args:
        others: Scores of the drawn items, shape (B, S).
        exact: Of each row the items that are counted exactly.
        drawn: Positions of the drawn ones, shape (S,).
        items: I.

    Source: Yi et al. (2019), equation 3 (the log-Q correction), for a uniform Q.
    """
    itself = _drawn_too(exact, drawn, items)
    left = items - exact.counts.sum(-1, keepdim=True)
    share = left / (~itself).sum(-1, keepdim=True).clamp_min(1)
    return (others + share.clamp_min(1.0).log().to(others.dtype)).masked_fill(itself, nothing(others))


def nothing(scores: Tensor) -> float:
    """Return a score that no sum of exponentials notices, and that is a number."""
    return torch.finfo(scores.dtype).min / 4


def _drawn_too(exact: Exact, drawn: Tensor, items: int) -> Tensor:
    """Which drawn items are counted exactly, shape (B, S); no array is as wide as the catalogue times B."""
    outside = len(drawn)
    place = torch.full((items,), outside, device=drawn.device)
    place[drawn] = torch.arange(outside, device=drawn.device)
    found = torch.where(exact.counts, place[exact.items], outside)
    itself = torch.zeros(len(found), outside + 1, dtype=torch.bool, device=drawn.device)
    return itself.scatter(1, found, True)[:, :outside]
