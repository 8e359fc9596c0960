"""No row's loss depends on another row. Where it did, one shopper would move what all others contribute.

The classical slip: predictions of shape (B, 1) against labels of shape (B,) broadcast to (B, B).

Notation: B rows, O outputs.
"""

import torch

from shared_model import schema
from shared_model.heads import outputs_of
from shared_model.privacy.plan import trained_tasks

from ..findings import Finding
from ..made_up import some_labels
from ..subject import Subject

_ROWS = 6


def coupling(subject: Subject) -> tuple[Finding, ...]:
    """Return by how much a row's loss changes with another row, over the contract's tasks."""
    generator = subject.generator("coupling")
    tasks = {task: subject.federation.tasks[task] for task in trained_tasks(subject.federation)}
    moves = {name: _spill(subject, task, generator) for name, task in tasks.items()}
    worst = max(moves, key=lambda name: moves[name])
    return (
        Finding(
            name="coupling.losses",
            value=moves[worst],
            high=0.0,
            says=f"Largest change of a row's loss when another row changes (here: {worst}).",
        ),
    )


def _spill(subject: Subject, task: schema.Task, generator: torch.Generator) -> float:
    """Return the largest change of the other rows' losses; infinite where there is not one loss a row."""
    logits = torch.randn(_ROWS, outputs_of(task), generator=generator)
    labels = some_labels(task, _ROWS, generator)
    changed, other = logits.clone(), labels.clone()
    changed[0] += 3.0
    other[0] = torch.nan
    before = subject.mechanism.row_losses(task, logits, labels).value
    after = subject.mechanism.row_losses(task, changed, other).value
    if before.shape != (_ROWS,):
        return float("inf")
    return float((before - after)[1:].abs().max())
