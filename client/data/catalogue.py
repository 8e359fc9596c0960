"""The catalogue of a retrieval task: which items can be chosen, most sold first.

Items are known only after all training rows have been read, so labels are written as 64-bit hashes first and
become positions in the catalogue at the end.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import chunks


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Items, most sold first: `hashes` (items,) and `sold` (items,), counted over training rows."""

    hashes: NDArray[np.uint64]
    sold: NDArray[np.int64]

    def positions(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return where items stand, shape (B,); -1 for one outside."""
        if not len(self.hashes):
            return np.full(len(hashes), -1)
        order = np.argsort(self.hashes)
        found = np.minimum(np.searchsorted(self.hashes, hashes, sorter=order), len(order) - 1)
        places = order[found]
        return np.where(self.hashes[places] == hashes, places, -1)


def catalogue(labels: NDArray[np.uint64], *, train: NDArray[np.bool_], max_items: int) -> Catalogue:
    """Return the `max_items` items that most training rows chose; of equals the smaller hash first.

    Args:
        labels: Item hashes, 0 where missing, shape (B,).
        train: Which rows train, shape (B,).
        max_items: Largest catalogue.
    """
    hashes, sold = np.array([], np.uint64), np.array([], np.int64)
    for part in chunks(len(labels)):
        chosen = labels[part][train[part] & (labels[part] != 0)]
        hashes, sold = _added(hashes, sold, *np.unique(chosen, return_counts=True))
    kept = np.argsort(-sold, kind="stable")[:max_items]
    return Catalogue(hashes=hashes[kept], sold=sold[kept])


def _added(
    hashes: NDArray[np.uint64], sold: NDArray[np.int64], more: NDArray[np.uint64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Add up the sales of two sets of items; hashes ascending."""
    both, place = np.unique(np.concatenate([hashes, more]), return_inverse=True)
    total = np.zeros(len(both), np.int64)
    np.add.at(total, place, np.concatenate([sold, counts]))
    return both, total
