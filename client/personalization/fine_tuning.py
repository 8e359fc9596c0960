"""Model transfer: everything is trained on the merchant's rows, and pulled to where it came from (L2-SP).

Minimises

    sum of row losses + alpha / 2 * |w' - w|^2 + sum over tasks of beta / 2 * |own - own's start|^2

over everything that was there before, w', pulled to its released value w, and over the own parts of heads,
which are new. alpha is `Start.strength`, beta a task's `residual_penalty`; both are numbers of rows, so they
mean the same at every size. Training starts from the heads of feature transfer (Kumar et al. 2022): random
steps of new heads would first spoil what was released.

Under a `wide` bottom a prior and its residual read the same inputs, so the answer is that of feature transfer
with a `residual_penalty` of alpha beta / (alpha + beta) rows
(`tests/client/personalization/test_fine_tuning.py`).

Source: Li, Grandvalet and Davoine (2018), "Explicit Inductive Bias for Transfer Learning with Convolutional
Networks", eq. 4 (L2-SP).
"""

import math
from collections.abc import Callable

import torch

from client.evaluation import losses_of
from client.halves import LEAST_SHOPPERS, choosing
from shared_model.model import MultiTaskModel
from shared_model.parameters import load, take

from . import feature_transfer
from .descent import STEPS, descend
from .start import Start, pulls

STEPS_UNSEEN = 50
"""Taken where too few validation rows could say when to stop."""
_LOOK, _PATIENCE = 10, 5


def personal(start: Start, *, own: float | None = None) -> MultiTaskModel:
    """Return the fine-tuned model.

    It is the one of the step at which the loss over the choosing half of the validation rows was least, and
    after `STEPS_UNSEEN` steps where no task has enough of them (`stops_by_rows`).

    Args:
        start: The release.
        own: beta for all tasks; each task's `residual_penalty` by default.
    """
    tasks = start.dataset.tasks
    strengths = {t: task.residual_penalty if own is None else own for t, task in tasks.items()}
    anchors = pulls(start, own=strengths)
    model = feature_transfer.personal(start)
    load(model, {name: pull.anchor for name, pull in anchors.items() if math.isinf(pull.strength)})
    judged = stops_by_rows(start)
    best = _Best(model, lambda: _loss(model, start, judged)) if judged else None
    steps = STEPS if judged else STEPS_UNSEEN
    descend(model, start.dataset, anchors, start.generator, steps=steps, after=best or (lambda _: False))
    if best is not None:
        load(model, best.parameters)
    return model


def stops_by_rows(start: Start) -> list[str]:
    """Return the tasks whose choosing half of the validation rows has a say in when training stops."""
    return [t for t in start.dataset.tasks if choosing(start.dataset, t).shoppers >= LEAST_SHOPPERS]


class _Best:
    """Keeps the parameters of the best look, and says when there was none for too long."""

    def __init__(self, model: MultiTaskModel, loss: Callable[[], float]) -> None:
        self._model, self._loss = model, loss
        self._names = [name for name, _ in model.named_parameters()]
        self._idle, self._least = 0, math.inf
        self._look()

    def __call__(self, done: int) -> bool:
        if done % _LOOK == 0:
            self._look()
        return self._idle > _PATIENCE

    def _look(self) -> None:
        found = self._loss()
        self._idle += 1
        if found < self._least or self._least == math.inf:
            self.parameters = take(self._model, self._names)
            self._least, self._idle = found, 0


@torch.no_grad()
def _loss(model: MultiTaskModel, start: Start, tasks: list[str]) -> float:
    """Sum over tasks of weight x mean loss of the choosing half of the validation rows."""
    total = 0.0
    for task in tasks:
        spec, rows = start.dataset.tasks[task], choosing(start.dataset, task).rows
        total += spec.weight * float(losses_of(model, start.dataset, task, rows).mean())
    return total
