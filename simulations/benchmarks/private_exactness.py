"""How far the engine's sums are from exact ones, and how far one unit can move them.

Notation: B rows, U units, C clipping norm.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from client.private.clipping import Group
from client.private.ownership import trained
from client.private.records import clipped_sums, record
from client.private.rules import Rows
from client.private.units import Units
from shared_model import schema
from shared_model.architectures import ARCHITECTURES
from shared_model.features import Batch
from shared_model.layers import Linear
from shared_model.losses import row_losses
from shared_model.model import MultiTaskModel, build

_ROWS, _UNITS, _LENGTH, _BUCKETS = 96, 32, 6, 20

_FEATURES: dict[str, dict[str, object]] = {
    "price": {"kind": "numeric", "hinges": [0.5], "steps": [1.0], "flag_missing": True},
    "category": {"kind": "categorical", "buckets": _BUCKETS, "width": 8},
    "shelf": {"kind": "categorical", "buckets": _BUCKETS, "width": 8},
    "tags": {"kind": "multi", "buckets": _BUCKETS, "width": 8},
    "title": {"kind": "text", "buckets": _BUCKETS, "width": 8},
    "picture": {"kind": "vector", "length": _LENGTH, "width": 8},
    "history": {"kind": "sequence", "of": ["category"]},
    "trail": {"kind": "sequence", "of": ["category"], "encoder": "lstm", "width": 8},
    "glance": {"kind": "sequence", "of": ["shelf"], "encoder": "attention", "width": 8},
}
_TASKS: dict[str, dict[str, object]] = {
    "late": {"kind": "binary"},
    "refunded": {"kind": "binary", "initial": 0.2},
    "days": {"kind": "regression"},
    "units": {"kind": "count"},
    "mood": {"kind": "multiclass", "classes": ["good", "fair", "bad"]},
    "interests": {"kind": "multilabel", "labels": ["garden", "kitchen"]},
}
_OPTIONS: dict[str, dict[str, object]] = {"cascade": {"chain": ["late", "refunded"]}}
"""What an architecture must be told."""


def deviation() -> float:
    """Return the largest error of any coordinate of a clipped sum, over all architectures.

    As a share of C, or of the largest coordinate where that is more: float32 holds no more digits. Against a
    loop in float64, for one row per unit and for three, with two C.
    """
    owners = (torch.arange(_ROWS), _ROWS), (torch.arange(_ROWS) % _UNITS, _UNITS)
    return max(
        _deviation(architecture, of_row, units, norm)
        for architecture in ARCHITECTURES
        for of_row, units in owners
        for norm in (0.1, 1.0)
    )


def sensitivity() -> float:
    """Return by how many C the sum moves, at most, when a unit that does its worst is removed.

    The unit has four rows: tiny, ordinary or huge; alike, or such that they cancel all but a rest.
    """
    return max(
        _movement(size, torch.tensor([1.0, sign, 1.0 + rest, sign]))
        for size in (1e-20, 1e-6, 1.0, 1e6, 1e15)
        for sign in (1.0, -1.0)
        for rest in (0.0, 1e-7, 1e-5, 1e-3, 1.0)
    )


def _movement(size: float, rows: Tensor) -> float:
    generator, clipping_norm = torch.Generator().manual_seed(0), 1.0
    layer = Linear(200, 100, generator=generator)
    model = nn.ModuleDict({"layer": layer})
    of_row = torch.tensor([0, 0, 0, 0, 1, 2])
    x = size * rows.unsqueeze(1) * torch.randn(1, 200, generator=generator)
    x = torch.cat([x, 1e-30 * torch.randn(2, 200, generator=generator)])
    losses = {kept: _steep(layer, x[-kept:]) for kept in (6, 2)}
    sums = [_sums(model, losses[kept], of_row[-kept:], 3, clipping_norm)[0] for kept in (6, 2)]
    moved = [(sums[0][name] - sums[1][name]).double().square().sum() for name in sums[0]]
    return float(torch.stack(moved).sum().sqrt()) / clipping_norm


def _steep(layer: Linear, x: Tensor) -> Callable[[], Tensor]:
    return lambda: 1e3 * layer(x).sum(1)


def _deviation(architecture: str, of_row: Tensor, units: int, norm: float) -> float:
    contract = _contract(architecture)
    model, batch = _model(contract), _batch(contract)
    found, parameters = _sums(model, lambda: _losses(model, contract, batch), of_row, units, norm)
    exact = _loop(copy.deepcopy(model).double(), contract, batch, of_row, units, norm)
    largest = max(float(total.abs().max()) for total in exact.values())
    error = max(float((found[n].double() - exact[n]).abs().max()) for n in parameters)
    return error / max(norm, largest)


def _sums(
    model: nn.Module, losses: Callable[[], Tensor], of_row: Tensor, units: int, norm: float
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the engine's sums by name of parameter, and the names."""
    names = tuple(name for name, _ in model.named_parameters())
    group_of = trained(model, [Group(name="all", parameters=names, clipping_norm=norm, noise_std=0.0)])
    sums = clipped_sums(record(losses, Units(of_row, units)), group_of)
    return {name: _dense(sums.get(p), p) for name, p in model.named_parameters()}, names


def _dense(found: Tensor | Rows | None, parameter: nn.Parameter) -> Tensor:
    if isinstance(found, Rows):
        return torch.zeros_like(parameter.data).index_add_(0, *found)
    return torch.zeros_like(parameter.data) if found is None else found


def _loop(
    model: MultiTaskModel, contract: schema.Federation, batch: Batch, of_row: Tensor, units: int, norm: float
) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    sums = {name: torch.zeros_like(p.data) for name, p in parameters.items()}
    for unit in range(units):
        mine = _at(batch, (of_row == unit).nonzero().squeeze(1)).to("cpu", torch.float64)
        loss = _losses(model, contract, mine).sum()
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        used = {n: g for n, g in zip(parameters, gradients, strict=True) if g is not None}
        length = float(torch.stack([g.square().sum() for g in used.values()]).sum().sqrt())
        for name, gradient in used.items():
            sums[name] += min(1.0, norm / length) * gradient
    return sums


def _losses(model: MultiTaskModel, contract: schema.Federation, batch: Batch) -> Tensor:
    logits = model(batch)
    return torch.stack(
        [row_losses(task, logits[t], batch.labels[t]).value for t, task in contract.tasks.items()]
    ).sum(0)


def _contract(architecture: str) -> schema.Federation:
    return schema.parse_federation(
        {
            "federation": {"name": "exactness", "rounds": 1},
            "features": _FEATURES,
            "tasks": _TASKS,
            "bottom": {"architecture": architecture, **_OPTIONS.get(architecture, {})},
        }
    )


def _model(contract: schema.Federation) -> MultiTaskModel:
    generator = torch.Generator().manual_seed(0)
    model = build(contract, generator=generator)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.15, generator=generator)
    return model


def _batch(contract: schema.Federation) -> Batch:
    """Rows with few ids, so that they collide; a third of the labels is missing."""
    g = torch.Generator().manual_seed(1)
    bag, one = (_ROWS, _LENGTH), (_ROWS,)
    labels = {
        "late": torch.randint(0, 2, one, generator=g).float(),
        "refunded": torch.randint(0, 2, one, generator=g).float(),
        "days": torch.randn(one, generator=g),
        "units": torch.randint(0, 4, one, generator=g).float(),
        "mood": torch.randint(0, 3, one, generator=g).float(),
        "interests": torch.randint(0, 2, (_ROWS, 2), generator=g).float(),
    }
    for position, name in enumerate(labels):
        labels[name][position % 3 :: 3] = torch.nan
    return Batch(
        numeric=torch.randn(_ROWS, 1, generator=g),
        ids={
            "category": torch.randint(0, _BUCKETS, one, generator=g),
            "shelf": torch.randint(0, _BUCKETS, one, generator=g),
            "tags": torch.randint(0, _BUCKETS, bag, generator=g),
            "title": torch.randint(0, _BUCKETS, bag, generator=g),
            "history.category": torch.randint(0, _BUCKETS, bag, generator=g),
            "trail.category": torch.randint(0, _BUCKETS, bag, generator=g),
            "glance.shelf": torch.randint(0, _BUCKETS, bag, generator=g),
        },
        vectors={"picture": torch.randn(bag, generator=g)},
        labels=labels,
    )


def _at(batch: Batch, rows: Tensor) -> Batch:
    return Batch(
        numeric=batch.numeric[rows],
        ids={name: ids[rows] for name, ids in batch.ids.items()},
        vectors={name: vectors[rows] for name, vectors in batch.vectors.items()},
        labels={name: labels[rows] for name, labels in batch.labels.items()},
    )
