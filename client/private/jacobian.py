"""The private Jacobian: one noisy gradient of the shared parameters per task, under one clip.

A rule that looks at conflicts between tasks needs their gradients one by one. Each unit's task gradients are
clipped together, as one long vector, so that one mechanism releases all of them; whatever a rule makes of the
result is post-processing and costs nothing more.

Notation: B rows, U units, T tasks, P shared parameters.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from shared_model.layers import recording

from .clipping import Group
from .noise import Noise
from .ownership import trained
from .records import check_alone, check_losses, finite_units, group_norms, uses_of, weighted_sums
from .rules import Rows, Sums, joint
from .units import Units


def private_jacobian(
    model: nn.Module,
    parameters: Sequence[str],
    losses: Callable[[], Tensor],
    tasks: int,
    unit_of_row: Tensor,
    units: int,
    *,
    clipping_norm: float,
    noise_std: float,
    noise: Noise,
    check: bool = True,
) -> Tensor:
    """Return the sums over units of their clipped task gradients, with noise, shape (T, P).

    Guarantees: removing a unit moves the whole matrix by at most `clipping_norm`, in Frobenius norm; every
    entry has noise of `noise_std`, also where nobody was drawn. A unit that is not finite for any task
    contributes zero to all of them.

    Args:
        model: Not changed.
        parameters: Names of the shared parameters, in the order of the columns.
        losses: Runs the forward pass; returns the losses of every task and row, shape (T, B). Not called
            without rows.
        tasks: T.
        unit_of_row: The owner of every row, shape (B,), in [0, units).
        units: U.
        clipping_norm: C, of a unit's gradients of all tasks together.
        noise_std: On every entry.
        noise: Source of the noise.
        check: Also differentiate the first row's losses alone (`records.check_alone`).

    Raises:
        PrivacyError: As in `engine`; the losses have another shape, or one of them depends on another row.
    """
    group = Group(
        name="jacobian", parameters=tuple(parameters), clipping_norm=clipping_norm, noise_std=noise_std
    )
    group_of = trained(model, [group])
    owners = Units(unit_of_row, units)
    sums: list[Sums] = [{} for _ in range(tasks)]
    if owners.rows:
        with torch.enable_grad(), recording() as tape:
            values = losses()
        check_losses(values, (tasks, owners.rows))
        if check:
            for value in values:
                check_alone(value[0], tape, owners.rows)
        uses = [uses_of(value.sum(), tape, owners.rows, retain=True) for value in values]
        norm = joint(group_norms(used, owners, group_of)[group] for used in uses)
        finite = torch.stack([finite_units(value, owners) for value in values]).all(0)
        sums = [weighted_sums(used, owners, group_of, {group: norm}, finite) for used in uses]
    exact = torch.stack([torch.cat([_flat(found.get(p), p) for p in group_of]) for found in sums])
    noisy = noise.normal_(torch.empty(exact.shape, dtype=next(iter(group_of)).dtype)).mul_(noise_std)
    return noisy.add_(exact)  # rounded to float32 only now


def _flat(found: Tensor | Rows | None, parameter: nn.Parameter) -> Tensor:
    if isinstance(found, Rows):
        return torch.zeros_like(parameter.data).index_add_(0, *found).flatten()
    return (torch.zeros_like(parameter.data) if found is None else found).flatten()
