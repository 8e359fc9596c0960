"""From the loss of a batch to the clipped sums of its units: one backward, to the outputs of layers.

Notation: B rows, U units.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shared_model.errors import PrivacyError
from shared_model.layers import Record, recording

from .clipping import Group, coefficients
from .products import Products
from .rules import RULES, Sums, Use, joint, products_of, use, without
from .units import Units

Losses = Callable[[], Tensor]
"""Runs the forward pass; returns one loss per row, shape (B,)."""

Uses = Mapping[nn.Module, list[Use]]
"""What each layer read, and the gradients of what it returned."""

GroupOf = Mapping[nn.Parameter, Group]
"""The clip group of every trained parameter."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One batch after its backward pass.

    Attributes:
        units: The owners of its rows.
        uses: By layer; of layers that the loss depends on.
        finite: Whether all losses of a unit are numbers, shape (U,).
    """

    units: Units
    uses: Uses
    finite: Tensor


def record(losses: Losses, units: Units, *, check: bool = True) -> Recorded:
    """Run forward and backward for one batch; without rows, `losses` is not called.

    Args:
        losses: Of the batch.
        units: The owners of its rows.
        check: Also differentiate the first loss alone (`check_alone`).

    Raises:
        PrivacyError: There is not one loss per row, a layer has its rows where no rule looks for them, or a
            loss depends on another row.
    """
    if not units.rows:
        return Recorded(units=units, uses={}, finite=torch.ones(units.count, dtype=torch.bool))
    with torch.enable_grad(), recording() as tape:
        values = losses()
    check_losses(values, (units.rows,))
    if check:
        check_alone(values[0], tape, units.rows)
    return Recorded(
        units=units, uses=uses_of(values.sum(), tape, units.rows), finite=finite_units(values, units)
    )


def check_losses(values: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse losses of another shape: (B, 1) would broadcast, and couple the units.

    Raises:
        PrivacyError: The shape differs.
    """
    if values.shape != shape:
        raise PrivacyError(f"Expected losses of shape {shape}, got {tuple(values.shape)}.")


def check_alone(first: Tensor, tape: Sequence[Record], rows: int) -> None:
    """Refuse a model in which the first row's loss depends on what layers return for other rows.

    Units can be clipped one by one only if nothing couples their rows: no statistic of the batch, no loss
    over pairs, no layer that mixes rows. (What couples them by labels alone has no gradient to show it; the
    auditor's certificate looks for that.)

    Raises:
        PrivacyError: It does; or a layer has its rows on another axis than its rule says.
    """
    for layer, used in uses_of(first, tape, rows, retain=True).items():
        if any(u.gradient[1:].nan_to_num().any() for u in used):
            raise PrivacyError(
                f"The loss of a row depends on what a {type(layer).__name__} returns for other rows, so that"
                " one unit would move what others contribute."
            )


def finite_units(values: Tensor, units: Units) -> Tensor:
    """Return whether all losses of each unit are numbers, shape (U,), from losses of shape (B,)."""
    return units.total((~values.detach().isfinite()).double(), units.of_row) == 0


def uses_of(loss: Tensor, tape: Sequence[Record], rows: int, *, retain: bool = False) -> Uses:
    """Differentiate `loss`, a scalar, to the outputs on the tape; what it does not depend on is left out."""
    known = [r for r in tape if type(r.layer) in RULES]
    uses: dict[nn.Module, list[Use]] = {}
    if known and loss.requires_grad:
        outputs = [r.output for r in known]
        gradients = torch.autograd.grad(loss, outputs, allow_unused=True, retain_graph=retain)
        for r, gradient in zip(known, gradients, strict=True):
            if gradient is not None:
                uses.setdefault(r.layer, []).append(use(r.layer, r.input, gradient, rows))
    return uses


def group_norms(uses: Uses, units: Units, group_of: GroupOf) -> dict[Group, Tensor]:
    """Return per clip group an upper bound of the norm of every unit's gradient, shape (U,), float64."""
    squares, rest, products = dict[Group, Tensor](), dict[nn.Module, list[Use]](), Products(units)
    for layer, used in uses.items():
        found = products_of(layer, used, products)
        if found is None:
            rest[layer] = used
            continue
        for parameter in group_of.keys() & found.keys():
            group = group_of[parameter]
            squares[group] = squares[group] + found[parameter] if group in squares else found[parameter]
    norms = _norms_by_rule(rest, units, group_of)
    for group, square in squares.items():
        norms[group].append(products.norms(square))
    nothing = torch.zeros(units.count, dtype=torch.float64)
    return {group: joint([nothing, *parts]) for group, parts in norms.items()}


def _norms_by_rule(uses: Uses, units: Units, group_of: GroupOf) -> dict[Group, list[Tensor]]:
    """Return per clip group upper bounds of the norms over single parameters, shape (U,) each."""
    norms: dict[Group, list[Tensor]] = {group: [] for group in group_of.values()}
    known: dict[tuple[object, ...], tuple[Tensor, ...]] = {}
    for layer, used in uses.items():
        parameters, alike = tuple(layer.parameters(recurse=False)), _numbers_of(layer, used)
        if alike not in known:  # a prior and the residual beside it read the same and get the same gradient
            found = RULES[type(layer)].norms(layer, used, units)
            known[alike] = tuple(found[parameter] for parameter in parameters)
        for parameter, norm in zip(parameters, known[alike], strict=True):
            if parameter in group_of:
                norms[group_of[parameter]].append(norm)
    return norms


def _numbers_of(layer: nn.Module, used: list[Use]) -> tuple[object, ...]:
    """Return what tells whether two layers have the same norms: their kind, and where their numbers lie."""
    shapes = tuple(parameter.shape for parameter in layer.parameters(recurse=False))
    places = tuple((t.data_ptr(), t.shape, t.stride()) for one in used for t in one)
    return (type(layer), shapes, places)


def clipped_sums(recorded: Recorded, group_of: GroupOf) -> Sums:
    """Return for every trained parameter that was used the sum over units of their clipped gradients.

    Guarantees: removing a unit moves the sum over the parameters of a group by at most its clipping norm. A
    unit of which anything is not finite (a loss, an activation, a gradient, a norm) contributes exactly zero,
    in every group.
    """
    norms = group_norms(recorded.uses, recorded.units, group_of)
    return weighted_sums(recorded.uses, recorded.units, group_of, norms, recorded.finite)


def weighted_sums(
    uses: Uses, units: Units, group_of: GroupOf, norms: Mapping[Group, Tensor], finite: Tensor
) -> Sums:
    """Return the sums of gradients, each unit's times its coefficient; nothing of units not finite."""
    for norm in norms.values():
        finite = finite & norm.isfinite()
    if not finite.all():
        bad = ~units.per_row(finite)
        uses = {layer: [without(one, bad) for one in used] for layer, used in uses.items()}
    clip = {
        group: units.per_row(coefficients(norm, group.clipping_norm) * finite)
        for group, norm in norms.items()
    }
    of_parameter = {parameter: clip[group] for parameter, group in group_of.items()}
    sums: Sums = {}
    for layer, used in uses.items():
        if any(parameter in of_parameter for parameter in layer.parameters(recurse=False)):
            sums |= RULES[type(layer)].sums(layer, used, of_parameter)
    return sums
