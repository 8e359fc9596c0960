"""Small contracts and batches that use every kind of feature and task once."""

from typing import Any

import torch
from torch import Tensor

from shared_model import architectures
from shared_model.features import Batch
from shared_model.schema import Federation, parse_federation

NAN = float("nan")
ARCHITECTURES = tuple(sorted(architectures.ARCHITECTURES))
OPTIONS: dict[str, dict[str, Any]] = {
    "ple": {"experts": 2, "task_experts": 2, "hidden": [5, 4]},
    "cascade": {"chain": ["late", "refunded"]},
}
"""What the tests set of an architecture's keys; the rest has defaults."""
CATALOGUE = 5


def tables(architecture: str = "shared_bottom") -> dict[str, Any]:
    return {
        "federation": {"name": "tiny", "rounds": 2},
        "features": {
            "price": {"kind": "numeric", "hinges": [0.5], "steps": [1.0], "flag_missing": True},
            "category": {"kind": "categorical", "buckets": 8, "width": 2},
            "color": {"kind": "categorical", "buckets": 8, "width": 2},
            "shelf": {"kind": "categorical", "buckets": 8, "width": 3, "scope": "local"},
            "tags": {"kind": "multi", "buckets": 8, "width": 2},
            "title": {"kind": "text", "buckets": 8, "width": 2},
            "picture": {"kind": "vector", "length": 3, "width": 2},
            "history": {"kind": "sequence", "of": ["category"]},
            "trail": {"kind": "sequence", "of": ["category", "color"], "encoder": "lstm", "width": 3},
            "glance": {"kind": "sequence", "of": ["category"], "encoder": "attention", "width": 2},
            "habit": {"kind": "sequence", "of": ["shelf"], "encoder": "lstm"},
        },
        "tasks": {
            "late": {"kind": "binary", "initial": 0.2},
            "refunded": {"kind": "binary", "initial": 0.05},
            "days": {"kind": "regression", "transform": "log1p", "center": 2.0, "scale": 0.5, "initial": 0.3},
            "units": {"kind": "count", "initial": 1.5},
            "mood": {"kind": "multiclass", "classes": ["good", "fair", "bad"]},
            "interests": {"kind": "multilabel", "labels": ["garden", "kitchen"], "initial": 0.1},
            "next_item": {"kind": "retrieval"},
        },
        "bottom": {"architecture": architecture, **OPTIONS.get(architecture, {})},
    }


def contract(architecture: str = "shared_bottom") -> Federation:
    return parse_federation(tables(architecture))


def batch(dtype: torch.dtype = torch.float32) -> Batch:
    """Three rows; the last one has no label and misses every feature."""
    return Batch(
        numeric=torch.tensor([[0.2], [1.5], [NAN]], dtype=dtype),
        ids={
            "category": torch.tensor([1, 2, 0]),
            "color": torch.tensor([2, 2, 0]),
            "shelf": torch.tensor([3, 4, 0]),
            "tags": torch.tensor([[1, 2], [3, 0], [0, 0]]),
            "title": torch.tensor([[5, 6, 7], [1, 0, 0], [0, 0, 0]]),
            "history.category": torch.tensor([[1, 1], [2, 0], [0, 0]]),
            "trail.category": torch.tensor([[1, 0, 3], [2, 0, 0], [0, 0, 0]]),
            "trail.color": torch.tensor([[1, 2, 0], [0, 0, 0], [0, 0, 0]]),
            "glance.category": torch.tensor([[1, 3, 3], [2, 0, 0], [0, 0, 0]]),
            "habit.shelf": torch.tensor([[1, 2], [5, 0], [0, 0]]),
        },
        vectors={"picture": torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=dtype)},
        labels={
            "late": torch.tensor([0, 1, NAN], dtype=dtype),
            "refunded": torch.tensor([0, 1, NAN], dtype=dtype),
            "days": torch.tensor([0.0, 1.0, NAN], dtype=dtype),
            "units": torch.tensor([0, 3, NAN], dtype=dtype),
            "mood": torch.tensor([0, 2, NAN], dtype=dtype),
            "interests": torch.tensor([[0, 1], [1, 1], [NAN, NAN]], dtype=dtype),
            "next_item": torch.tensor([0, 4, NAN], dtype=dtype),
        },
    )


def rows(whole: Batch, chosen: Tensor) -> Batch:
    return Batch(
        numeric=whole.numeric[chosen],
        ids={name: ids[chosen] for name, ids in whole.ids.items()},
        vectors={name: vectors[chosen] for name, vectors in whole.vectors.items()},
        labels={name: labels[chosen] for name, labels in whole.labels.items()},
    )
