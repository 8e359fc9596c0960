"""The mode `hooks`, the reference: Opacus's own per-sample gradients, clip rule and optimizer.

A per-sample gradient of every parameter is written out for every row, so this is for small models. Opacus
knows rows; what it does not know is added around it: rows of a unit are summed before they are clipped, a
head that no row used has a gradient of zero, a batch may be empty, and the noise is ours.

Notation: B rows, U units, P numbers of a parameter.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from opacus.grad_sample import GradSampleModule, register_grad_sampler
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from shared_model.layers import Bank, Embedding, Linear

from .clipping import Group, combined_multiplier, joint_norm
from .noise import Noise
from .ownership import trained
from .records import GroupOf, Losses, check_losses, finite_units
from .units import Units

GradSamples = dict[nn.Parameter, Tensor]

_MARGIN = 1e-6
"""What Opacus adds to a norm before it divides by it."""


class Hooks:
    """DP-SGD on one model by Opacus: an `Engine` (`client/private/engines.py`)."""

    def __init__(
        self, model: nn.Module, groups: Sequence[Group], *, learning_rate: float, divisor: float, noise: Noise
    ) -> None:
        """Check that every trained parameter has a rule and a group (errors as in `ownership.trained`)."""
        self._model, self._group_of = model, trained(model, groups)
        self.optimizer = UnitOptimizer(
            self._group_of, learning_rate=learning_rate, divisor=divisor, noise=noise
        )

    def step(self, losses: Losses, unit_of_row: Tensor, units: int) -> None:
        """Take one noisy step; without rows `losses` is not called and noise alone moves the parameters."""
        owners = Units(unit_of_row, units)
        self.optimizer.owners = owners
        self.optimizer.finite = torch.ones(units, dtype=torch.bool)
        if owners.rows:
            self.optimizer.finite = self._backward(losses, owners)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for parameter in self._group_of:  # what has no noise stays with nobody
            parameter.grad_sample = parameter.summed_grad = None  # type: ignore[attr-defined]

    def release(self) -> None:
        """Nothing is owed: every step adds all of its noise."""

    def _backward(self, losses: Losses, owners: Units) -> Tensor:
        """Leave every row's gradient on the trained parameters; return which units have finite losses."""
        wanted = {p: p.requires_grad for p in self._model.parameters()}
        for parameter in wanted:
            parameter.requires_grad_(parameter in self._group_of)
        hooked = _RowGradients(self._model, loss_reduction="sum")
        hooked.rows = owners.rows
        try:
            with torch.enable_grad(), warnings.catch_warnings():
                # torch wonders about modules whose inputs need no gradient, such as every first layer
                warnings.filterwarnings("ignore", message="Full backward hook is firing")
                values = losses()
                check_losses(values, (owners.rows,))
                if values.requires_grad:
                    values.sum().backward()  # type: ignore[no-untyped-call]
        finally:
            hooked.remove_hooks()
            for parameter, before in wanted.items():
                parameter.requires_grad_(before)
        return finite_units(values, owners)


class _RowGradients(GradSampleModule):  # type: ignore[misc]
    """Opacus's module, told how many rows a batch has: it would take a bank's experts for rows."""

    rows = 0

    def rearrange_grad_samples(self, *, module: nn.Module, **options: Any) -> tuple[Any, Any]:
        module.max_batch_len = self.rows  # type: ignore[assignment]
        found: tuple[Any, Any] = super().rearrange_grad_samples(module=module, **options)
        return found


class UnitOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus's optimizer over units instead of rows, with a bound and a noise per clip group.

    Attributes:
        owners: The owners of the rows of the batch.
        finite: Whether all losses of a unit are numbers, shape (U,).
    """

    owners: Units
    finite: Tensor

    def __init__(self, group_of: GroupOf, *, learning_rate: float, divisor: float, noise: Noise) -> None:
        """Wrap plain SGD over the trained parameters."""
        groups = set(group_of.values())
        super().__init__(
            torch.optim.SGD(list(group_of), lr=learning_rate),
            noise_multiplier=combined_multiplier(groups),
            max_grad_norm=joint_norm(groups),
            expected_batch_size=divisor,
        )
        self._group_of, self._noise = group_of, noise
        for parameter in group_of:
            parameter.grad_sample = None  # type: ignore[attr-defined]

    @property
    def grad_samples(self) -> list[Tensor]:
        """The gradients of the units, shape (U, P) of each parameter."""
        return [self._of_units(parameter) for parameter in self._group_of]

    @property
    def accumulated_iterations(self) -> int:
        """One batch makes one step."""
        return 1

    def clip_and_accumulate(self) -> None:
        """Leave on every trained parameter the sum over units of clipped gradients, by Opacus's formula."""
        gradients = dict(zip(self._group_of, self.grad_samples, strict=True))
        norms = {group: self._norms(gradients, group) for group in set(self._group_of.values())}
        finite = self.finite
        for norm in norms.values():
            finite = finite & norm.isfinite()
        for parameter, group in self._group_of.items():
            factor = (group.clipping_norm / (norms[group] + _MARGIN)).clamp(max=1.0)
            clipped = gradients[parameter][finite] * factor[finite].unsqueeze(1)
            parameter.summed_grad = clipped.sum(0).view_as(parameter)  # type: ignore[attr-defined]

    def add_noise(self) -> None:
        """Add the noise of its group to every coordinate of every sum."""
        for parameter, group in self._group_of.items():
            drawn = self._noise.normal_(torch.empty_like(parameter.data))
            parameter.grad = drawn.mul_(group.noise_std).add_(parameter.summed_grad)  # type: ignore[attr-defined]

    def _of_units(self, parameter: nn.Parameter) -> Tensor:
        of_rows: Tensor | None = parameter.grad_sample  # type: ignore[attr-defined]
        if of_rows is None:
            return torch.zeros(self.owners.count, parameter.numel())
        return self.owners.total(of_rows.flatten(1), self.owners.of_row)

    def _norms(self, gradients: GradSamples, group: Group) -> Tensor:
        parts = [g.norm(2, dim=-1) for p, g in gradients.items() if self._group_of[p] == group]
        norms: Tensor = torch.stack(parts, 1).norm(2, dim=1)
        return norms


@register_grad_sampler(Linear)  # type: ignore[untyped-decorator]
def _linear(layer: Linear, activations: list[Tensor], backprops: Tensor) -> GradSamples:
    g = backprops.flatten(1, -2) if backprops.dim() > 2 else backprops.unsqueeze(1)
    a = activations[0].reshape(*g.shape[:2], -1)
    found = {layer.weight: torch.einsum("npo,npi->noi", g, a)}
    return found if layer.bias is None else {**found, layer.bias: g.sum(1)}


@register_grad_sampler(Bank)  # type: ignore[untyped-decorator]
def _bank(layer: Bank, activations: list[Tensor], backprops: Tensor) -> GradSamples:
    form = "eno,ni->neoi" if layer.shared_input else "eno,eni->neoi"
    return {
        layer.weight: torch.einsum(form, backprops, activations[0]),
        layer.bias: backprops.transpose(0, 1),
    }


@register_grad_sampler(Embedding)  # type: ignore[untyped-decorator]
def _table(layer: Embedding, activations: list[Tensor], backprops: Tensor) -> GradSamples:
    rows, width = len(backprops), backprops.shape[-1]
    ids = activations[0].reshape(rows, -1)
    g = backprops.reshape(rows, -1, width) * (ids > 0).unsqueeze(-1)
    index = ids.unsqueeze(-1).expand_as(g)
    zeros = torch.zeros(rows, *layer.weight.shape, dtype=g.dtype)
    return {layer.weight: zeros.scatter_add_(1, index, g)}
