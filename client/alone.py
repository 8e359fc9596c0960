"""What a merchant can do without anybody: a linear model of its own, shrunk to public constants.

It is the plain alternative that a federated model has to beat before it is served, and one of the baselines
in simulations. With few orders it is strong: a logistic model shrunk to a public rate beat every network
trained alone on real sellers' bad reviews.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch

from shared_model import schema
from shared_model.model import MultiTaskModel, build

from . import serving_heads
from .data.dataset import Dataset

PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Strengths of the pull towards the public constant that are worth trying, in rows."""
PENALTY = 100.0
"""The one of them that a merchant takes without trying."""


def linear_model(
    federation: schema.Federation, dataset: Dataset, *, penalty: float | Mapping[str, float] = PENALTY
) -> MultiTaskModel:
    """Return a model whose heads are linear in the dense inputs, fitted on the merchant's training rows.

    Args:
        federation: The contract; only its features and tasks are read.
        dataset: The merchant's rows.
        penalty: See `serving_heads.fit`; one number, or one per task.
    """
    model = untrained_linear_model(federation, dataset)
    for task in dataset.tasks:
        strength = penalty[task] if isinstance(penalty, Mapping) else penalty
        serving_heads.put(model, task, serving_heads.fit(model, dataset, task, penalty=strength))
    return model


def untrained_linear_model(federation: schema.Federation, dataset: Dataset) -> MultiTaskModel:
    """Return the same model before fitting: it predicts every task's public constant."""
    tasks = {name: _without_tower(task) for name, task in federation.tasks.items()}
    wide = replace(federation, bottom=schema.Wide(architecture="wide"), tasks=tasks)
    return build(
        wide,
        generator=torch.Generator(),
        own_tasks={t: _without_tower(dataset.tasks[t]) for t in dataset.own_tasks},
        catalogues={task: len(items) for task, items in dataset.catalogues.items()},
    )


def _without_tower(task: schema.Task) -> schema.Task:
    return replace(task, content=()) if isinstance(task, schema.Retrieval) else task
