"""Gradient canaries: made-up shoppers with the largest gradient allowed, each on its own coordinate.

They go through the sampler, the clip and the noise of private training like anybody else. Half of them are
put in by a coin each; whoever sees what was released then guesses the coins.

A shopper of a task whose rows belong to items moves a product's contribution from one side to the other, by
2C, rather than adding C. So its canary there is a product that is always there and points one way with the
shopper and the other way without.

Notation: m canaries, T steps, G clip groups.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared_model import schema
from shared_model.features import Batch
from shared_model.privacy.plan import GroupPlan, Plan

from .mechanism import Mechanism, release
from .workload import WIDTH, Laboratory, Workload

_LOUD = 16.0
"""A canary's gradient before clipping, in clipping norms."""


class Observed(NamedTuple):
    """What an attacker sees of T steps and what is true; shapes (T, m), (T, m), (m,), (m,).

    A score is the released coordinates of a canary, weighted so that their sum tells most: 1 / z^2 more with
    the canary than without, around noise of standard deviation 1 / z, for a claimed noise multiplier z.
    """

    scores: NDArray[np.float64]
    entered: NDArray[np.bool_]
    inserted: NDArray[np.bool_]
    by_coin: NDArray[np.bool_]


def observe(
    mechanism: Mechanism,
    federation: schema.Federation,
    plan: Plan,
    *,
    steps: int,
    by_coin: int,
    certain: int,
    seed: int,
) -> Observed:
    """Run steps of a plan over canaries alone and return what was seen.

    Args:
        mechanism: Runs the steps.
        federation: The contract.
        plan: Its constants; every step is released, so its own number of steps is not read.
        steps: T.
        by_coin: Canaries that are in with probability one half.
        certain: Canaries that are in.
        seed: Of the coins, the sampler and the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    count = by_coin + certain
    inserted = torch.ones(count, dtype=torch.bool)
    inserted[:by_coin] = torch.rand(by_coin, generator=generator) < 0.5
    single = replace(plan, steps=1, telemetry=None)
    model = Laboratory([group.name for group in plan.groups], count)
    rows = canary_rows(federation, plan.groups, inserted)
    scores, entered = [], []
    for _ in range(steps):
        sums = release(mechanism, model, rows, federation, single, generator)
        scores.append(_score(sums, plan.groups))
        entered.append(inserted & torch.isin(torch.arange(count), rows.drawn[-1]))
    return Observed(
        torch.stack(scores).double().numpy(),
        torch.stack(entered).numpy(),
        inserted.numpy(),
        np.arange(count) < by_coin,
    )


def canary_rows(federation: schema.Federation, groups: Sequence[GroupPlan], inserted: Tensor) -> Workload:
    """Return one row per canary that is in, and one per canary for the groups of items.

    Units are numbered like canaries; a canary that is out owns no row. Products follow, from m on.
    """
    count = len(inserted)
    plain = inserted.nonzero().squeeze(1)
    flips = any(_flips(group) for group in groups)
    products = torch.arange(count if flips else 0)
    sign = torch.where(inserted, 1.0, -1.0)[products]
    nothing = torch.full((len(products),), torch.nan)
    labels = {
        group.name: torch.cat([torch.full((len(plain),), torch.nan), -_loud(group) * sign])
        if _flips(group)
        else torch.cat([torch.full((len(plain),), -_loud(group)), nothing])
        for group in groups
    }
    ids = torch.cat([plain, products]).add(1).unsqueeze(1)
    return Workload(
        tasks={group.name: schema.Regression(kind="regression") for group in groups},
        everything=Batch(numeric=torch.zeros(len(ids), WIDTH), ids={"canary": ids}, labels=labels),
        unit=torch.cat([plain, products + count]),
        units=count + len(products),
        weight=torch.ones(len(ids)),
    )


def _flips(group: GroupPlan) -> bool:
    return group.sensitivity > group.clipping_norm


def _loud(group: GroupPlan) -> float:
    return _LOUD * group.clipping_norm


def _score(sums: dict[str, Tensor], groups: Sequence[GroupPlan]) -> Tensor:
    """Return per canary the sum over groups of sensitivity x coordinate / variance, shape (m,)."""
    return torch.stack(
        [
            sums[f"heads.{group.name}.prior.weight"][1:, 0].double()
            * (group.sensitivity / group.noise_std**2)
            for group in groups
        ]
    ).sum(0)
