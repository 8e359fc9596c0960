"""How a layer with a merchant axis turns what it read, and the gradient of what it returned, into a step.

No gradient of a parameter need exist: it can be added to the parameter itself, times minus the learning rate.

Notation: E experts, I inputs, O outputs, V table rows, D width, N entries (rows times what stands in a row).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from shared_model.layers import Bank, Embedding, Linear, Record

Into = Mapping[nn.Parameter, Tensor]
"""Where the gradient of a parameter is added, in the parameter's shape; parameters that are not there do not
move."""

Scale = Callable[[Tensor, nn.Parameter, int], Tensor]
"""`scale(gradient, parameter, axis)` is an output's gradient, whose rows are on an axis, each times what it
counts for the parameter."""


def add_gradients(
    records: Sequence[Record], gradients: Sequence[Tensor | None], into: Into, alpha: float, scale: Scale
) -> None:
    """Add alpha times the gradient of every parameter in `into`.

    Args:
        records: What every layer read.
        gradients: Of what it returned; None where nothing depends on it.
        into: See `Into`.
        alpha: Minus the learning rate where `into` holds the parameters themselves.
        scale: See `Scale`; `unscaled` where every row counts once.
    """
    for record, gradient in zip(records, gradients, strict=True):
        if gradient is not None:
            _ADD[type(record.layer)](record.layer, record.input, gradient, into, alpha, scale)


def unscaled(gradient: Tensor, parameter: nn.Parameter, axis: int) -> Tensor:
    """Return the gradient as it is."""
    return gradient


def _linear(layer: nn.Module, x: Tensor, g: Tensor, into: Into, alpha: float, scale: Scale) -> None:
    assert isinstance(layer, Linear)
    weight, bias = layer.weight, layer.bias
    if weight in into:
        scaled = scale(g, weight, 1).flatten(1, -2)
        into[weight].baddbmm_(scaled.mT, x.flatten(1, -2), alpha=alpha)
    if bias is not None and bias in into:
        into[bias].add_(scale(g, bias, 1).flatten(1, -2).sum(1), alpha=alpha)


def _bank(layer: nn.Module, x: Tensor, g: Tensor, into: Into, alpha: float, scale: Scale) -> None:
    """The gradient is (M, E, B, O); rows are on its second-last axis."""
    assert isinstance(layer, Bank)
    merchants = g.shape[0]
    if layer.weight in into:
        scaled, out = scale(g, layer.weight, 2), into[layer.weight]
        if layer.shared_input:  # one wide product: all experts read the same rows
            wide = scaled.transpose(1, 2).flatten(2)
            out.view(merchants, -1, out.shape[-1]).baddbmm_(wide.mT, x, alpha=alpha)
        else:
            out.flatten(0, 1).baddbmm_(scaled.flatten(0, 1).mT, x.flatten(0, 1), alpha=alpha)
    if layer.bias in into:
        into[layer.bias].add_(scale(g, layer.bias, 2).sum(-2), alpha=alpha)


def _table(layer: nn.Module, ids: Tensor, g: Tensor, into: Into, alpha: float, scale: Scale) -> None:
    assert isinstance(layer, Embedding)
    if layer.weight in into:
        out = into[layer.weight]
        merchants, rows, width = out.shape
        first = torch.arange(merchants).view(-1, *[1] * (ids.dim() - 1)) * rows
        where = (ids + first).flatten().unsqueeze(1).expand(-1, width)
        added = (scale(g, layer.weight, 1) * alpha).reshape(-1, width)
        out.view(-1, width).scatter_add_(0, where, added)


_ADD: dict[type[nn.Module], Callable[[nn.Module, Tensor, Tensor, Into, float, Scale], None]] = {
    Linear: _linear,
    Bank: _bank,
    Embedding: _table,
}
"""The layers that own all parameters."""
