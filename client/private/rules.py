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
from .products import CACHED, Products, lengths
from .units import Places, Units

_BLOCK = 1 << 20
"""Numbers of gradients or inner products made at a time."""

_MOST_WRITTEN = 1 << 25
"""Numbers that the gradients of all units, written out, may have."""

_SMALL = 1 << 12
"""Numbers of a parameter up to which sums over few entries are exact too: what float64 costs is not felt."""

_MANY = 1 << 13
"""Entries above which every sum is exact: in float32 it would lose too much, more with every entry."""


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
        sums: The sums of gradients over units, each times its coefficient, given per row and parameter, in
            float64; at least one parameter has them, and the sums of those without mean nothing.
        products: What every row, and every pair of rows of one unit, adds to the squared norms per parameter
            (`products.py`), for one use with one entry per row; None where there is no such way.
        axes: Of the gradient of such a use.
    """

    row_axis: int
    norms: Callable[[nn.Module, Uses, Units], Norms]
    sums: Callable[[nn.Module, Uses, Coefficients], Sums]
    products: Callable[[nn.Module, Use, Products], Norms] | None = None
    axes: int = 2


# --- linear maps --------------------------------------------------------------------------------------


def _map_norms(a: Tensor, g: Tensor, units: Units) -> tuple[Tensor, Tensor]:
    """Norms of the sums of g a^T and of g over the entries of each unit, from (N, I) and (N, O)."""
    owners, biases = units.of_entries(len(a)), lengths(g)
    weight, bias = units.total(biases * lengths(a), owners), units.total(biases, owners)
    if units.single and len(a) == units.rows:
        return weight, bias
    return (
        bounded(_outer_norms(a, g, units, owners), weight),
        bounded(lengths(units.total(g, owners)), bias),
    )


def _outer_norms(a: Tensor, g: Tensor, units: Units, owners: Tensor) -> Tensor:
    """Norms of sum g a^T over the entries of each unit, by whichever of two exact ways is cheaper."""
    rowwise = owners is units.of_row
    most = units.most if rowwise else int(torch.bincount(owners).max())
    if _written_out_is_cheaper(len(a), units.count, most, a.shape[1], g.shape[1]):
        return _written_norms(a, g, units, owners)
    places = units.places if rowwise else Places(owners, units.count)
    return _gram_norms(places.filled(a), places.filled(g))


def _written_out_is_cheaper(entries: int, units: int, most: int, inputs: int, outputs: int) -> bool:
    """Whether I O numbers for every entry cost less than inner products of `most` entries a unit.

    A number that is written and added costs about as much as four multiplications (measured).
    """
    numbers, products = inputs * outputs, 2 * units * most**2 * (inputs + outputs)
    return units * numbers <= _MOST_WRITTEN and 4 * entries * numbers <= products


def _written_norms(a: Tensor, g: Tensor, units: Units, owners: Tensor) -> Tensor:
    """Norms of sum g a^T over the entries of each unit, from the sums themselves."""
    sums = a.new_zeros(units.count, a.shape[1] * g.shape[1])
    for part in torch.split(torch.arange(len(a)), max(1, _BLOCK // sums.shape[1])):
        outer = g[part].unsqueeze(2) * a[part].unsqueeze(1)
        sums.index_add_(0, owners[part], outer.flatten(1))
    return lengths(sums)


def _gram_norms(a: Tensor, g: Tensor) -> Tensor:
    """Norms of sum_i g_i a_i^T, from (U, k, I) and (U, k, O): sum_ij (a_i a_j)(g_i g_j) is their square."""
    step = max(1, _BLOCK // (a.shape[1] * (a.shape[1] + a.shape[2] + g.shape[2])))
    squares = [
        (torch.bmm(x, x.mT) * torch.bmm(y, y.mT)).sum((1, 2))
        for x, y in zip(torch.split(a.double(), step), torch.split(g.double(), step), strict=True)
    ]
    return torch.cat(squares).clamp_min(0).sqrt()


def _map_sums(a: Tensor, g: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of g a^T and of g over entries, each times its row's coefficient (B,).

    Added up in float64, where products of float32 are exact: how the parts of others are rounded must not
    depend on whether a unit is there. A layer of more than 4,096 numbers is added up in float32 while there
    are at most 8,192 entries, since float64 would cost 5 to 15 % of a step. Measured: removing a unit then
    moves the sum by up to C (1 + 5e-5), and otherwise by C (1 + 3e-8) with 100,000 units.
    """
    kind = torch.float64 if a.shape[1] * g.shape[1] <= _SMALL or len(a) > _MANY else g.dtype
    size = max(1, len(a) if kind == g.dtype else CACHED // (a.shape[1] + g.shape[1]))
    for_weight = g.new_zeros(g.shape[1], a.shape[1], dtype=kind)
    for_bias = g.new_zeros(g.shape[1], dtype=kind)
    both = (_of_entries(c, len(a), kind) for c in (weight, bias))
    for x, y, w, b in zip(*(torch.split(t, size) for t in (a, g, *both)), strict=True):
        x, y = x.to(kind), y.to(kind)
        for_weight.addmm_((y * w.unsqueeze(1)).T, x)
        for_bias.addmv_(y.T, b)
    return for_weight, for_bias


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
    return g * _of_entries(coefficients, len(g), g.dtype).unsqueeze(1)


def _of_entries(coefficients: Tensor, entries: int, kind: torch.dtype) -> Tensor:
    """Return the coefficient of every entry, (N,), where every row, (B,), has N / B of them."""
    of_row = coefficients.to(kind)
    return of_row if entries == len(of_row) else of_row.repeat_interleave(entries // len(of_row))


def _linear_norms(layer: nn.Module, uses: Uses, units: Units) -> Norms:
    assert isinstance(layer, Linear)
    weight, bias = _map_norms(*_entries(uses), units)
    return {layer.weight: weight} if layer.bias is None else {layer.weight: weight, layer.bias: bias}


def _linear_products(layer: nn.Module, used: Use, products: Products) -> Norms:
    assert isinstance(layer, Linear)
    of_bias = products.of(used.gradient)
    found = {layer.weight: of_bias * products.of(used.input)}
    return found if layer.bias is None else found | {layer.bias: of_bias}


def _linear_sums(layer: nn.Module, uses: Uses, coefficients: Coefficients) -> Sums:
    assert isinstance(layer, Linear)
    if layer.bias is None:
        of_row = coefficients[layer.weight]
        return {layer.weight: _map_sums(*_entries(uses), of_row, of_row)[0]}
    weight, bias = _map_sums(*_entries(uses), *_both(coefficients, layer.weight, layer.bias))
    return {layer.weight: weight, layer.bias: bias}


def _both(coefficients: Coefficients, weight: nn.Parameter, bias: nn.Parameter) -> tuple[Tensor, Tensor]:
    """Return the coefficients of both; of one that is not trained, those of the other."""
    trained = coefficients[weight if weight in coefficients else bias]
    return coefficients.get(weight, trained), coefficients.get(bias, trained)


# --- banks: one linear map per expert -----------------------------------------------------------------


def _experts(layer: nn.Module, uses: Uses) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the entries of every expert."""
    assert isinstance(layer, Bank)
    for expert in range(layer.weight.shape[-3]):
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
    found = [_map_norms(a, g, units) for a, g in _experts(layer, uses)]
    return {layer.weight: joint(weight for weight, _ in found), layer.bias: joint(bias for _, bias in found)}


def _bank_products(layer: nn.Module, used: Use, products: Products) -> Norms:
    assert isinstance(layer, Bank)
    of_bias, read = products.of(used.gradient), products.of(used.input)
    total = of_bias.sum(-1)
    of_weight = total * read if layer.shared_input else (of_bias * read).sum(-1)
    return {layer.weight: of_weight, layer.bias: total}


def _bank_sums(layer: nn.Module, uses: Uses, coefficients: Coefficients) -> Sums:
    assert isinstance(layer, Bank)
    both = _both(coefficients, layer.weight, layer.bias)
    found = [_map_sums(a, g, *both) for a, g in _experts(layer, uses)]
    return {
        layer.weight: torch.stack([weight for weight, _ in found]),
        layer.bias: torch.stack([bias for _, bias in found]),
    }


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
    return {layer.weight: lookup_norms(uses, units, layer.weight.shape[-2])}


def _table_products(layer: nn.Module, used: Use, products: Products) -> Norms:
    assert isinstance(layer, Embedding)
    return {layer.weight: products.of(used.gradient) * products.equal(used.input)}


def _table_sums(layer: nn.Module, uses: Uses, coefficients: Coefficients) -> Sums:
    assert isinstance(layer, Embedding)
    ids, g = _lookups(uses)
    return {layer.weight: Rows(ids, scaled(g, coefficients[layer.weight]))}


# --- all of them --------------------------------------------------------------------------------------

RULES: dict[type[nn.Module], Rule] = {
    Linear: Rule(0, _linear_norms, _linear_sums, _linear_products),
    Bank: Rule(-2, _bank_norms, _bank_sums, _bank_products, 3),
    Embedding: Rule(0, _table_norms, _table_sums, _table_products),
}
"""The layers that may own a trained parameter."""


def products_of(layer: nn.Module, uses: Uses, products: Products) -> Norms | None:
    """Return what rows and pairs add to the squared norms per parameter; None where that is not the way."""
    rule = RULES[type(layer)]
    if rule.products is None or len(uses) > 1 or uses[0].gradient.dim() != rule.axes or not products.are_few:
        return None
    return rule.products(layer, uses[0], products)


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
