"""Which categories does a merchant sell? From one update of it, and the public list of categories.

A step moves those rows of a shared table that the merchant's rows read, and no others. So every row that
moved names a category (or the few that share its bucket), and the hash is public. Private training adds noise
to all rows alike, read or not.

Source: Melis et al. (2019), "Exploiting Unintended Feature Leakage in Collaborative Learning": the gradient
of an embedding is zero but for the words of the batch.
"""

import torch
from torch import Tensor

from .categories import FEATURES, FULL, Size, rounds
from .measures import auc
from .outcome import Outcome, Progress, silent
from .shop import Shop
from .training import Shared


def attack(
    *, epsilon: float, seed: int, progress: Progress = silent, size: Size = FULL
) -> tuple[Outcome, ...]:
    """Return how well the length of a row's move tells sold categories from others (`outcome.Attack`)."""
    found = [
        (_score(seen.plain.update, seen.shop, size), _score(seen.private.update, seen.shop, size))
        for seen in rounds(size, epsilon=epsilon, seed=seed, progress=progress)
    ]
    return (
        Outcome.mean(
            found,
            name="what the shop sells",
            attacked="From one update of a merchant, which categories of the public list it sells.",
            metric="AUC",
            chance=0.5,
            worst=1.0,
            epsilon=epsilon,
            source="Melis et al. (2019), leakage from the embedding layer",
        ),
    )


def moved(update: Shared, feature: str) -> Tensor:
    """Return by how much every row of a feature's table moved but that for "missing", shape (V - 1,)."""
    lengths: Tensor = torch.linalg.vector_norm(update[f"encoder.tables.{feature}.weight"][1:], dim=1)
    return lengths


def _score(update: Shared, shop: Shop, size: Size) -> float:
    sold = torch.stack([torch.bincount(shop.ids[f], minlength=size.buckets)[1:] > 0 for f in FEATURES])
    return auc(torch.stack([moved(update, f) for f in FEATURES]), sold)
