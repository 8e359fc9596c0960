"""Training without a federation, by the merchant's own training code: alone, or on everybody's rows.

The same local steps, weighting and optimiser as in a round, over and over on one set of rows; the round with
the best validation loss of a task is what that task is judged by. So alone, federated and pooled differ in
who holds the rows, and in nothing else.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from client.data.examples import Examples, Split
from client.training import train_plain
from shared_model import schema
from shared_model.features import Batch
from shared_model.model import MultiTaskModel

from ..baselines import Best, look

PATIENCE = 8
"""Rounds without a better validation loss on any task before training stops."""


class Only:
    """Some tasks of a data set (the interface is `Examples`)."""

    def __init__(self, examples: Examples, tasks: Iterable[str]) -> None:
        self._examples = examples
        self.tasks: Mapping[str, schema.Task] = {t: examples.tasks[t] for t in tasks}
        self.rows_of: Mapping[str, str] = {t: examples.rows_of[t] for t in self.tasks}

    def rows(self, split: Split, *, kind: str | None = None, task: str | None = None) -> Tensor:
        """Return row numbers (see `Examples.rows`)."""
        return self._examples.rows(split, kind=kind, task=task)

    def batch(self, rows: Tensor, tasks: Iterable[str] | None = None) -> Batch:
        """Return encoded rows (see `Examples.batch`)."""
        return self._examples.batch(rows, self.tasks if tasks is None else tasks)


def trained(
    model: MultiTaskModel, examples: Examples, federation: schema.Federation, generator: torch.Generator
) -> dict[str, Best]:
    """Train on all tasks of `examples` for at most the contract's rounds; return every task's best round.

    Args:
        model: To train; changed in place.
        examples: Rows of one merchant, or of all.
        federation: Steps, batch, optimiser, weighting.
        generator: Draws the rows.
    """
    best = {
        task: Best(model, torch.zeros(len(examples.rows("validation", task=task)))) for task in examples.tasks
    }
    look(best, model, examples)
    idle, memory = 0, None
    for number in range(federation.federation.rounds):
        memory = train_plain(model, examples, federation, generator, public=f"local/{number}", memory=memory)
        idle = 0 if look(best, model, examples) else idle + 1
        if idle >= PATIENCE:
            break
    return best
