"""The updates that attacks look at, made by the code that merchants run.

A contract comes in two forms that differ in the `[privacy]` table alone. All randomness is named, so that an
attack can be repeated; a merchant's is not.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from client.private.noise import SeededNoise
from client.private.training import train_private
from client.training import train_plain
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import load, take
from shared_model.privacy.plan import plan_of
from shared_model.schema import Federation, parse_federation

from .shop import Shop

TIER = "any"
DELTA = 1e-6
Shared = dict[str, Tensor]
"""Shared parameters by name, or by how much they moved."""


def pair(tables: Mapping[str, Any], *, epsilon: float, clipping_norm: float) -> tuple[Federation, Federation]:
    """Return the contract of `tables` without privacy, and the same one with it."""
    privacy = {"epsilon": epsilon, "delta": DELTA, "clipping_norm": clipping_norm}
    return parse_federation(dict(tables)), parse_federation({**tables, "privacy": privacy})


def new_model(federation: Federation, generator: torch.Generator) -> MultiTaskModel:
    """Return the model of a contract as it is before any training."""
    return build(federation, generator=generator)


def train(model: MultiTaskModel, shop: Shop, federation: Federation, generator: torch.Generator) -> None:
    """Change `model` in place by one round at `shop`, private where the contract is."""
    if federation.privacy is None:
        train_plain(model, shop, federation, generator)
    else:
        train_private(model, shop, federation, plan_of(federation, TIER), SeededNoise(generator))


def update(model: MultiTaskModel, shop: Shop, federation: Federation, generator: torch.Generator) -> Shared:
    """Return what the coordinator gets in one round: by how much the shop moves what is shared.

    The model is left as it was.
    """
    start = take(model, [name for name, _ in model.named_parameters()])
    train(model, shop, federation, generator)
    shared = take(model, model.shared_parameters())
    load(model, start)
    return {name: moved - start[name] for name, moved in shared.items()}


def federated(
    model: MultiTaskModel, shops: Iterable[Shop], federation: Federation, generator: torch.Generator
) -> None:
    """Train `model` in place for all rounds of the contract; every round adds the mean of the updates.

    Source: McMahan et al. (2017), algorithm 1, with equal weights.
    """
    members = tuple(shops)
    for _ in range(federation.federation.rounds):
        start = take(model, model.shared_parameters())
        updates = [update(model, shop, federation, generator) for shop in members]
        load(
            model,
            {n: start[n] + torch.stack([moved[n] for moved in updates]).mean(0) for n in start},
        )


def repeated(times: int, progress: Callable[[float], None]) -> Iterable[int]:
    """Count to `times` and say after each how much is done."""
    for number in range(times):
        yield number
        progress((number + 1) / times)
