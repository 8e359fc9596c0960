"""Where the steps of a cohort begin to go back: at the logits, whose gradients are known, or at the losses.

Where every row's loss is a sum of task weight x loss of its logits, its gradient by them is known in closed
form (`shared_model.losses.row_gradients`), and nobody need compute the loss, nor differentiate it.

Notation: as in the package; O outputs of a task.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from client.training import weighted_losses
from shared_model.losses import row_gradients
from shared_model.model import MultiTaskModel
from shared_model.schema import Task

from .heads import WideHead
from .rows import Rows, Steps


class Ends(NamedTuple):
    """Where a step ends that goes forwards, and begins to go back.

    Attributes:
        outputs: Shape (M, B, ...) each; finite at every row whose loss is.
        gradients: Of what the step minimises by each of them.
    """

    outputs: Sequence[Tensor]
    gradients: Sequence[Tensor]


Forward = Callable[[int, Rows], Ends]
"""`forward(number, rows)` runs a step."""


def forward_of(
    model: MultiTaskModel,
    steps: Steps,
    specs: Mapping[str, Task],
    tasks: Sequence[str],
    *,
    share: float,
    own: bool,
    heads: Sequence[WideHead],
) -> Forward:
    """Return what runs the steps of a round.

    Args:
        model: Holds the cohort.
        steps: Rows, their weights and their labels.
        specs: Declarations of the tasks.
        tasks: Those that are trained.
        share: Of every row's loss in what a step minimises.
        own: Add the own parts of heads.
        heads: Those that lie side by side.
    """
    if not losses_are_plain(model, tasks):
        return lambda number, rows: _to_losses(model, rows, specs, list(tasks), share, own)
    targets = {task: _target(steps, specs[task], task, share) for task in tasks}
    return lambda number, rows: _to_logits(model, number, rows, targets, own, heads)


def losses_are_plain(model: MultiTaskModel, tasks: Sequence[str]) -> bool:
    """Whether a row's loss is the sum of its tasks' losses, each times a constant."""
    recognised = model.adaptation is not None and model.adaptation.domain is not None
    return not recognised and not any(model.head(task).is_weighed for task in tasks)


def _to_losses(
    model: MultiTaskModel, rows: Rows, specs: Mapping[str, Task], tasks: list[str], share: float, own: bool
) -> Ends:
    losses = weighted_losses(model, rows.batch, specs, tasks, rows.weight, own=own)
    return Ends([losses], [torch.full_like(losses, share)])


def _to_logits(
    model: MultiTaskModel,
    number: int,
    rows: Rows,
    targets: Mapping[str, "_Target"],
    own: bool,
    heads: Sequence[WideHead],
) -> Ends:
    said = model.represent(rows.batch, targets)
    wide = [head(said[head.tasks[0]]) for head in heads]
    rest = [task for task in targets if not any(task in head.tasks for head in heads)]
    narrow = model.logits(said, rows.batch, rest, own=own)
    gradients = [
        torch.cat([targets[task].gradient(number, z) for task, z in head.each(logits.detach())], -1)
        for head, logits in zip(heads, wide, strict=True)
    ]
    gradients += [targets[task].gradient(number, z.detach()) for task, z in narrow.items()]
    return Ends([*wide, *narrow.values()], gradients)


class _Target(NamedTuple):
    """What one task is trained towards, in all steps.

    Attributes:
        task: Its declaration.
        labels: Shape (K, M, B) or (K, M, B, L); any number where there is none.
        factor: Of every row's loss, (K, M, B, 1).
        missing: Where there is no label, (K, M, B, 1); None where all rows have one.
    """

    task: Task
    labels: Tensor
    factor: Tensor
    missing: Tensor | None

    def gradient(self, step: int, logits: Tensor) -> Tensor:
        """Return the gradient of the sum of a step's losses by the task's logits, (M, B, O) both."""
        rows = logits.shape[1]
        found = row_gradients(self.task, logits, self.labels[step, :, :rows])
        found.mul_(self.factor[step, :, :rows])
        if self.missing is not None:  # by a mask, since logits may be infinite: 0 x inf is no zero
            found.masked_fill_(self.missing[step, :, :rows], 0.0)
        return found


def _target(steps: Steps, spec: Task, task: str, share: float) -> _Target:
    labels = steps.batch.labels[task]
    missing = labels.isnan()
    if missing.dim() > steps.weight.dim():
        missing = missing.any(-1)
    complete = not bool(missing.any())
    return _Target(
        task=spec,
        labels=labels if complete else labels.nan_to_num(0.0),
        factor=(steps.weight * (spec.weight * share)).unsqueeze(-1),
        missing=None if complete else missing.unsqueeze(-1),
    )
