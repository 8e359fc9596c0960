"""Norms of units with few rows each, from inner products between the rows of a unit.

A layer that reads one vector a per row and got g for what it returned has, for a unit, the gradient
sum_i g_i a_i^T, whose squared norm is sum_ij (a_i a_j)(g_i g_j). Two rows of a unit are two numbers then,
however wide the layer is; and layers that read the same, or got the same, share their products.

Notation: B rows, U units, k rows of one of them, Q pairs of rows of one unit, W numbers of a vector.

Source: Goodfellow (2015), "Efficient Per-Example Gradient Computations", for one row per unit; Li et al.
(2022), "Large Language Models Can Be Strong Differentially Private Learners", section 4 (ghost clipping).
"""

import torch
from torch import Tensor

from .clipping import bounded
from .units import Units

MOST_PAIRS = 4
"""Pairs for each row up to which norms come from products, which are cheaper up to 5 rows a unit.

Far from what units have: near it one unit more or less changes the way for all, and with it the last bits of
everybody's norm."""

CACHED = 1 << 17
"""Numbers worked on at a time: what stays in the cache needs no fresh memory."""

_SHORTEST = 1e-34
"""Least square of a length."""


class Products:
    """Inner products of what stands in the rows of a batch: of every row with itself, then of every pair.

    All have shape (B + Q, ...) and are float64; between rows of one unit much may cancel.
    """

    def __init__(self, units: Units) -> None:
        """Find no product yet."""
        self._units = units
        self._known: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    @property
    def are_few(self) -> bool:
        """Whether there are so few pairs that nothing else is cheaper."""
        return self._units.pair_count <= MOST_PAIRS * self._units.rows

    def of(self, vectors: Tensor) -> Tensor:
        """Return the inner products of (B, ..., W), shape (B + Q, ...)."""
        place = (vectors.data_ptr(), vectors.shape, vectors.stride())
        if place not in self._known:  # what is known keeps its memory, so that no other gets its place
            self._known[place] = vectors, self._made(vectors)
        return self._known[place][1]

    def equal(self, ids: Tensor) -> Tensor:
        """Return 1 where two rows read the same row of a table, and 0 elsewhere, from (B,); (B + Q,)."""
        first, second, _ = self._units.pairs
        same = ids.index_select(0, first) == ids.index_select(0, second)
        return torch.cat([torch.ones(len(ids), dtype=torch.float64), same.double()])

    def norms(self, squares: Tensor) -> Tensor:
        """Return upper bounds of the norms of units, shape (U,).

        The lengths of a unit's k rows add up to at most the root of k times their squares.

        Args:
            squares: Products of the gradients of rows and pairs, over all parameters that count, (B + Q,).
        """
        units, rows = self._units, self._units.rows
        alone = units.total(squares[:rows], units.of_row)
        if not units.pair_count:
            return alone.sqrt()
        crossed = torch.zeros_like(alone).index_add_(0, units.pairs.owner, squares[rows:], alpha=2.0)
        return bounded((alone + crossed).clamp_min_(0).sqrt_(), (units.sizes * alone).sqrt_())

    def _made(self, vectors: Tensor) -> Tensor:
        if not self._units.pair_count:
            return _squares(vectors.flatten(0, -2)).view(vectors.shape[:-1])
        first, second, _ = self._units.pairs
        if vectors.numel() <= CACHED:
            exact = vectors.double()
            return torch.cat([_alone(exact), _crossed(exact, first, second)])
        step = max(1, CACHED * len(vectors) // vectors.numel())
        alone = [_alone(part) for part in torch.split(vectors, step)]
        pairs = zip(torch.split(first, step), torch.split(second, step), strict=True)
        return torch.cat([*alone, *(_crossed(vectors, f, s) for f, s in pairs)])


def _alone(vectors: Tensor) -> Tensor:
    """Return the inner products of vectors, (..., W), with themselves, float64, shape (...)."""
    squares: Tensor = torch.linalg.vector_norm(vectors.double(), dim=-1).square_()
    return squares


def _crossed(vectors: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the inner products of some vectors, (B, ..., W), with others, float64, shape (Q, ...)."""
    one, other = vectors.index_select(0, first), vectors.index_select(0, second)
    return one.double().mul_(other.double()).sum(-1)


def lengths(vectors: Tensor) -> Tensor:
    """Return the Euclidean lengths of (N, ...), shape (N,), float64, exact to 3e-7 for up to 65,536 numbers.

    A length below 1e-17 counts as 1e-17; one above 1.8e19 is infinite.
    """
    return _squares(vectors.flatten(1)).sqrt_()


def _squares(vectors: Tensor) -> Tensor:
    """Return the squared lengths of (N, W), shape (N,), float64.

    They are added in float32 pairwise, which `torch.linalg.vector_norm` does not (6e-5). Those below 1e-34,
    where squares vanish, count as that; those above 3e38 overflow.
    """
    if vectors.numel() <= CACHED:
        found = (vectors * vectors).sum(1)
    else:
        parts = torch.split(vectors, max(1, CACHED // vectors.shape[1]))
        found = torch.cat([(part * part).sum(1) for part in parts])
    return found.double().clamp_min_(_SHORTEST)
