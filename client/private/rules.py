"""How each of the three layers yields the norm of every unit's gradient, and the clipped sum.

A record says what a layer read (`input`, a) and what the loss makes of its output (`gradient`, g). For a
linear map the gradient of a unit is the sum over its entries of g a^T, for a table g is added to the row that
was read. Norm and sum come from the same records: a use of a parameter that left no record can lose gradient,
but can never add any that was not clipped.

Notation: B rows, U units, N entries (`units`), I inputs, O outputs, E experts, V table rows, D width.

Source: Bu et al. (2022), "Differentially Private Optimization on Large Model at Small Cost", section 2
(book-keeping); Goodfellow (2015), "Efficient Per-Example Gradient Computations", for one entry per unit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from shared_model.errors import PrivacyError
from shared_model.layers import Bank, Embedding, Linear

from .clipping import bounded
from .units import Units, padded

_MATERIAL = 1 << 22
"""Per-unit gradients of up to so many numbers are written out; beyond, inner products give their norms."""

_BLOCK = 1 << 20
"""Inner products held at a time."""


class Use(NamedTuple):
    """One use of a layer, rows first: what it read, (B, ..., I) or (B, ...), and its output's gradient."""

    input: Tensor
    gradient: Tensor


class Rows(NamedTuple):
    """Vectors to be added to rows of a table: rows (N,), vectors (N, D); a row may occur several times."""

    rows: Tensor
    vectors: Tensor


Uses = Sequence[Use]
Norms = dict[nn.Parameter, Tensor]
Coefficients = Mapping[nn.Parameter, Tensor]
Sums = dict[nn.Parameter, "Tensor | Rows"]


class Rule(NamedTuple):
    """What a kind of layer knows.

    Attributes:
        row_axis: Where the rows of its inputs and outputs are.
        norms: Upper bounds of the norms of every unit's gradient per parameter, shape (U,), float64.
        sums: The sums of gradients over units, each times its coefficient, given per row and parameter.
    """

    row_axis: int
    norms: Callable[[nn.Module, Uses, Units], Norms]
    sums: Callable[[nn.Module, Uses, Coefficients], Sums]


def lengths(vectors: Tensor) -> Tensor:
    """Return the Euclidean lengths of (N, ...), shape (N,); in float64 no square overflows or vanishes."""
    found: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1, dtype=torch.float64)
    return found


# --- linear maps --------------------------------------------------------------------------------------


def _weight_norms(a: Tensor, g: Tensor, units: Units) -> Tensor:
    """Norms of sum g a^T over the entries of each unit, from (N, I) and (N, O)."""
    terms = lengths(a) * lengths(g)
    owners = units.of_entries(len(a))
    if units.single and len(a) == units.rows:
        return units.total(terms, owners)
    numbers = a.shape[1] * g.shape[1]
    if max(len(a), units.count) * numbers <= _MATERIAL:
        outer = (g.unsqueeze(2) * a.unsqueeze(1)).flatten(1)
        exact = lengths(units.total(outer, owners))
    else:
        exact = _gram_norms(padded(a, owners, units.count), padded(g, owners, units.count))
    return bounded(exact, units.total(terms, owners))


def _gram_norms(a: Tensor, g: Tensor) -> Tensor:
    """Norms of sum_i g_i a_i^T, from (U, k, I) and (U, k, O): sum_ij (a_i a_j)(g_i g_j) is their square."""
    step = max(1, _BLOCK // (a.shape[1] * (a.shape[1] + a.shape[2] + g.shape[2])))
    squares = []
    for x, y in zip(torch.split(a, step), torch.split(g, step), strict=True):
        x, y = x.double(), y.double()
        squares.append((torch.bmm(x, x.mT) * torch.bmm(y, y.mT)).sum((1, 2)))
    return torch.cat(squares).clamp_min(0).sqrt() if squares else a.new_zeros(0, dtype=torch.float64)


def _bias_norms(g: Tensor, units: Units) -> Tensor:
    """Norms of sum g over the entries of each unit, from (N, O)."""
    owners, terms = units.of_entries(len(g)), lengths(g)
    if units.single and len(g) == units.rows:
        return units.total(terms, owners)
    exact = lengths(units.total(g, owners))
    return bounded(exact, units.total(terms, owners))


def _entries(uses: Uses) -> tuple[Tensor, Tensor]:
    """Return what was read (N, I) and the gradients (N, O) of all uses, the entries of a row together."""
    if len(uses) == 1 and uses[0].input.dim() == 2:
        return uses[0]
    rows = len(uses[0].input)
    a = torch.cat([u.input.reshape(rows, -1, u.input.shape[-1]) for u in uses], 1)
    g = torch.cat([u.gradient.reshape(rows, -1, u.gradient.shape[-1]) for u in uses], 1)
    return a.flatten(0, 1), g.flatten(0, 1)


def scaled(g: Tensor, coefficients: Tensor) -> Tensor:
    """Return (N, O) times the coefficient of its row, (B,)."""
    spread = (
        coefficients.repeat_interleave(len(g) // len(coefficients)) if len(coefficients) else coefficients
    )
    return g * spread.unsqueeze(1).to(g.dtype)


def _linear_norms(layer: nn.Module, uses: Uses, units: Units) -> Norms:
    assert isinstance(layer, Linear)
    a, g = _entries(uses)
    norms = {layer.weight: _weight_norms(a, g, units)}
    return norms if layer.bias is None else {**norms, layer.bias: _bias_norms(g, units)}


def _linear_sums(layer: nn.Module, uses: Uses, coefficients: Coefficients) -> Sums:
    assert isinstance(layer, Linear)
    a, g = _entries(uses)
    sums: Sums = {}
    if layer.weight in coefficients:
        sums[layer.weight] = scaled(g, coefficients[layer.weight]).T @ a
    if layer.bias is not None and layer.bias in coefficients:
        sums[layer.bias] = scaled(g, coefficients[layer.bias]).sum(0)
    return sums


# --- banks: one linear map per expert -----------------------------------------------------------------


def _experts(layer: nn.Module, uses: Uses) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the entries of every expert."""
    assert isinstance(layer, Bank)
    for expert in range(len(layer.weight)):
        yield _entries(
            [
                Use(
                    u.input if layer.shared_input else u.input.select(1, expert), u.gradient.select(1, expert)
                )
                for u in uses
            ]
        )


def _bank_norms(layer: nn.Module, uses: Uses, units: Units) -> Norms:
    assert isinstance(layer, Bank)
    weights = [_weight_norms(a, g, units) for a, g in _experts(layer, uses)]
    biases = [_bias_norms(g, units) for _, g in _experts(layer, uses)]
    return {layer.weight: joint(weights), layer.bias: joint(biases)}


def _bank_sums(layer: nn.Module, uses: Uses, coefficients: Coefficients) -> Sums:
    assert isinstance(layer, Bank)
    sums: Sums = {}
    if layer.weight in coefficients:
        c = coefficients[layer.weight]
        sums[layer.weight] = torch.stack([scaled(g, c).T @ a for a, g in _experts(layer, uses)])
    if layer.bias in coefficients:
        c = coefficients[layer.bias]
        sums[layer.bias] = torch.stack([scaled(g, c).sum(0) for _, g in _experts(layer, uses)])
    return sums


# --- tables -------------------------------------------------------------------------------------------


def _lookups(uses: Uses) -> tuple[Tensor, Tensor]:
    """Return the rows that all uses read (N,) and their gradients (N, D), the entries of a row together."""
    rows = len(uses[0].input)
    ids = torch.cat([u.input.reshape(rows, -1) for u in uses], 1)
    g = torch.cat([u.gradient.reshape(rows, -1, u.gradient.shape[-1]) for u in uses], 1)
    return ids.flatten(), g.flatten(0, 1)


def lookup_norms(uses: Uses, units: Units, table_rows: int) -> Tensor:
    """Norms of what each unit adds to a table; what it adds to the same row is summed first."""
    ids, g = _lookups(uses)
    terms, owners = lengths(g), units.of_entries(len(ids))
    if units.single and len(ids) == units.rows:
        return units.total(terms, owners)
    pairs, inverse = torch.unique(owners * table_rows + ids, return_inverse=True)
    summed = g.new_zeros(len(pairs), g.shape[1]).index_add_(0, inverse, g)
    exact = units.total(lengths(summed).square(), pairs // table_rows).sqrt()
    return bounded(exact, units.total(terms, owners))


def _table_norms(layer: nn.Module, uses: Uses, units: Units) -> Norms:
    assert isinstance(layer, Embedding)
    return {layer.weight: lookup_norms(uses, units, len(layer.weight))}


def _table_sums(layer: nn.Module, uses: Uses, coefficients: Coefficients) -> Sums:
    assert isinstance(layer, Embedding)
    if layer.weight not in coefficients:
        return {}
    ids, g = _lookups(uses)
    return {layer.weight: Rows(ids, scaled(g, coefficients[layer.weight]))}


# --- all of them --------------------------------------------------------------------------------------

RULES: dict[type[nn.Module], Rule] = {
    Linear: Rule(0, _linear_norms, _linear_sums),
    Bank: Rule(-2, _bank_norms, _bank_sums),
    Embedding: Rule(0, _table_norms, _table_sums),
}
"""The layers that may own a trained parameter."""


def joint(norms: Iterable[Tensor]) -> Tensor:
    """Return the norms of vectors whose parts have the norms `norms`, shape (U,) each."""
    return torch.stack(tuple(norms)).square().sum(0).sqrt()


def use(layer: nn.Module, read: Tensor, gradient: Tensor, rows: int) -> Use:
    """Return the use of a layer, its rows first.

    Raises:
        PrivacyError: The rows of the batch are not where the rule of the layer looks for them.
    """
    axis = RULES[type(layer)].row_axis
    found = Use(read.movedim(axis, 0), gradient.movedim(axis, 0))
    if not len(found.input) == len(found.gradient) == rows:
        raise PrivacyError(
            f"Expected the {rows} rows of a batch on axis {axis} of what {type(layer).__name__} reads and"
            f" returns, got shapes {tuple(read.shape)} and {tuple(gradient.shape)}."
        )
    return found


def without(found: Use, bad: Tensor) -> Use:
    """Return the use with zeros in the rows that are `bad`, shape (B,): 0 x NaN would be NaN."""
    mask = ~bad
    keep = [mask.view(-1, *[1] * (t.dim() - 1)) for t in found]
    return Use(*(t.where(k, torch.zeros_like(t)) for t, k in zip(found, keep, strict=True)))
