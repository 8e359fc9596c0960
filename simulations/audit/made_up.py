"""Rows that could stand in any merchant's tables under a contract, and some that could not.

Notation: B rows, L values of a bag.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from shared_model import schema
from shared_model.features import Batch

_BAG = 4


def some_batch(
    federation: schema.Federation, rows: int, generator: torch.Generator, *, scale: float = 1.0
) -> Batch:
    """Return B rows with labels for every task of the contract but the choice of an item.

    Args:
        federation: Says which features and tasks there are.
        rows: B.
        generator: Draws them.
        scale: Of numbers and vectors; beyond 4 no encoder writes such rows.
    """
    features = federation.features
    numeric = [name for name, feature in features.items() if isinstance(feature, schema.Numeric)]
    vectors = {name: f for name, f in features.items() if isinstance(f, schema.Vector)}
    return Batch(
        numeric=scale * torch.randn(rows, len(numeric), generator=generator),
        ids={name: ids for feature in features for name, ids in _ids(features, feature, rows, generator)},
        vectors={n: scale * torch.randn(rows, v.length, generator=generator) for n, v in vectors.items()},
        labels={
            name: some_labels(task, rows, generator)
            for name, task in federation.tasks.items()
            if not isinstance(task, schema.Retrieval)
        },
    )


def some_labels(task: schema.Task, rows: int, generator: torch.Generator) -> Tensor:
    """Return labels as they stand in a `Batch`."""
    if isinstance(task, schema.Regression):
        return torch.randn(rows, generator=generator)
    shape, values = _LABELS[task.kind](task)
    return torch.randint(values, (rows, *shape), generator=generator).float()


def _ids(
    features: schema.Features, name: str, rows: int, generator: torch.Generator
) -> list[tuple[str, Tensor]]:
    """Return the names and ids of one feature; a bag repeats some ids and misses others."""
    feature = features[name]
    if isinstance(feature, schema.Categorical):
        return [(name, torch.randint(feature.buckets, (rows,), generator=generator))]
    if isinstance(feature, schema.Multi | schema.Text):
        return [(name, torch.randint(min(3, feature.buckets), (rows, _BAG), generator=generator))]
    if isinstance(feature, schema.Sequence):
        found = [(f"{name}.{of}", features[of]) for of in feature.of]
        return [
            (key, torch.randint(min(3, f.buckets), (rows, _BAG), generator=generator))
            for key, f in found
            if isinstance(f, schema.Categorical)
        ]
    return []


_LABELS: dict[str, Callable[..., tuple[tuple[int, ...], int]]] = {
    "binary": lambda task: ((), 2),
    "count": lambda task: ((), 5),
    "multiclass": lambda task: ((), len(task.classes)),
    "multilabel": lambda task: ((len(task.labels),), 2),
}
"""Kind -> shape of one label and number of values."""
