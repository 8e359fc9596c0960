"""Serving heads: the merchant's own parts, fitted on its own rows after the shared model was released.

They are computed from a release and kept in the serving store; nothing of them goes back into training
(`tests/client/test_merchant.py`).

Notation: B rows, D width of the representation, O outputs.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from shared_model import schema
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel
from shared_model.repeats import TRAITS

from . import item_tables
from .data.examples import Examples

_CHUNK = 8192


class ServingHead(NamedTuple):
    """A fitted own part: `weight` (O, D), `bias` (O,), and of repeats (3,), which few heads read."""

    weight: Tensor
    bias: Tensor
    repeats: Tensor


def fit(
    model: MultiTaskModel,
    dataset: Examples,
    task: str,
    *,
    penalty: float | None = None,
    rows: Tensor | None = None,
) -> ServingHead:
    """Return the own part of `task` that fits the merchant's training rows best.

    Minimises sum of row losses + penalty/2 (|weight|^2 + |bias - start|^2) over the frozen representation,
    with the prior's logits as offset where the head uses the prior. The problem is convex, so the answer
    does not depend on what the own part was before. Without rows it is the start itself.

    Args:
        model: Holds the released shared parameters.
        dataset: The merchant's rows.
        task: Name of the task.
        penalty: In rows; the task's `residual_penalty` by default.
        rows: Fit on these; by default on all training rows that have a label.
    """
    spec, head = dataset.tasks[task], model.head(task)
    rows = dataset.rows("train", task=task) if rows is None else rows
    solution = torch.zeros(head.own.weight.shape[0], head.own.weight.shape[1] + 1, dtype=torch.float64)
    repeats = solution.new_zeros(TRAITS)
    strength = spec.residual_penalty if penalty is None else penalty
    if len(rows) and isinstance(spec, schema.Retrieval):
        part = item_tables.solve(model, dataset, task, rows, spec, strength)
        solution, repeats = part.table, part.repeats
    elif len(rows):
        z, offset, labels = _problem(model, dataset, task, rows)
        solve = _ridge if isinstance(spec, schema.Regression) else _newton_like
        solution = solve(spec, z, offset, labels, strength)
    solution = solution.to(head.own.weight.dtype)
    return ServingHead(solution[:, :-1], solution[:, -1] + head.start, repeats.to(solution.dtype))


def put(model: MultiTaskModel, task: str, head: ServingHead) -> None:
    """Write a fitted own part into the model."""
    with torch.no_grad():
        parameters = dict(model.head(task).own.named_parameters())
        parameters["weight"].copy_(head.weight)
        parameters["bias"].copy_(head.bias)
        if "repeats.weight" in parameters:
            parameters["repeats.weight"].copy_(head.repeats)


@torch.no_grad()
def _problem(
    model: MultiTaskModel, dataset: Examples, task: str, rows: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs with a column of ones (B, D + 1), offset and labels of the rows, in float64."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    head = model.head(task)
    for chunk in torch.split(rows, _CHUNK):
        batch = dataset.batch(chunk, [task])
        representations = model.represent(batch, [task])
        z = representations[task]
        prior = model.priors(representations, [task]).get(task)
        offset = head.start + (head(z, own=False) if prior is None else prior)
        parts.append((torch.cat([z, torch.ones(len(chunk), 1)], -1), offset, batch.labels[task]))
    z, offset, labels = (torch.cat(part).double() for part in zip(*parts, strict=True))
    return z, offset, labels


def _ridge(spec: schema.Task, z: Tensor, offset: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """Closed form for half the squared error, shape (1, D + 1); zero where numbers are too large for it."""
    gram = z.T @ z + penalty * torch.eye(z.shape[1], dtype=z.dtype)
    solution, singular = torch.linalg.solve_ex(gram, z.T @ (labels - offset[:, 0]))
    return torch.zeros_like(solution).unsqueeze(0) if singular else solution.unsqueeze(0)


def _newton_like(spec: schema.Task, z: Tensor, offset: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """L-BFGS on the convex objective, divided by the number of rows; shape (O, D + 1).

    Logits exist for one chunk of rows at a time, so memory does not grow with rows times outputs.
    """
    solution = torch.zeros(offset.shape[1], z.shape[1], dtype=z.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [solution], max_iter=200, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = 0.5 * penalty / len(z) * solution.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        for first in range(0, len(z), _CHUNK):
            here = slice(first, first + _CHUNK)
            part = row_losses(spec, offset[here] + z[here] @ solution.T, labels[here]).value.sum() / len(z)
            part.backward()  # type: ignore[no-untyped-call]
            value = value + part
        return value.detach()

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    return solution.detach()
