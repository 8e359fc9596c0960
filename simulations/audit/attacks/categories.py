"""A merchant whose rows are mostly categories, and one round of it: what `ids` and `labels` look into.

The shared model has been trained on another shop before, as in the middle of a training. The whole budget is
spent on the one round that is attacked, which is the attacker's best case: in a training of many rounds each
update carries more noise.

Notation: N shoppers, V rows of a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shared_model.model import MultiTaskModel
from shared_model.schema import Federation

from .outcome import Progress
from .shop import Shop
from .training import TIER, Shared, new_model, pair, repeated, train, update

TASK = "bad_review"
FEATURES = ("product", "brand", "district")
CLIPPING_NORM = 1.0
EARLIER = 5
"""Rounds of other shops before the one that is attacked."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained.

    Attributes:
        merchants: How many are attacked, each on its own; the figure is their mean.
        shoppers: N, of every merchant.
        buckets: V, of every table.
        steps: K, of the round.
        sample: q, the share of the shoppers in a step.
    """

    merchants: int = 5
    shoppers: int = 200
    buckets: int = 500
    steps: int = 20
    sample: float = 0.1


FULL = Size()


class Reply(NamedTuple):
    """What came back, and under which contract."""

    contract: Federation
    update: Shared


class Seen(NamedTuple):
    """One attacked round: the shop, the model that was sent to it, its reply without privacy and with it."""

    shop: Shop
    model: MultiTaskModel
    plain: Reply
    private: Reply


def rounds(size: Size, *, epsilon: float, seed: int, progress: Progress) -> Iterator[Seen]:
    """Yield one attacked round of each merchant."""
    contracts = pair(_tables(size), epsilon=epsilon, clipping_norm=CLIPPING_NORM)
    contract = contracts[0]
    generator = torch.Generator().manual_seed(seed)
    for _ in repeated(size.merchants, progress):
        taste = [torch.randn(size.buckets, generator=generator) for _ in FEATURES]
        model = new_model(contract, generator)
        for _ in range(EARLIER):
            train(model, draw(contract, taste, size, generator), contract, generator)
        shop = draw(contract, taste, size, generator)
        yield Seen(
            shop, model, *(Reply(either, update(model, shop, either, generator)) for either in contracts)
        )


def draw(federation: Federation, taste: list[Tensor], size: Size, generator: torch.Generator) -> Shop:
    """Return a shop in which few categories sell much; a review hangs on them and on chance.

    Args:
        federation: The contract.
        taste: By feature, what every category adds to the logit of a bad review, shape (V,).
        size: N and V.
        generator: Draws the shoppers.
    """
    uniform = torch.rand(len(FEATURES), size.shoppers, generator=generator)
    ids = 1 + (uniform.square() * (size.buckets - 1)).long()
    logit = torch.stack([of[drawn] for of, drawn in zip(taste, ids, strict=True)]).sum(0)
    label = torch.bernoulli(logit.sigmoid(), generator=generator)
    numeric = torch.randn(size.shoppers, 2, generator=generator)
    named = dict(zip(FEATURES, ids, strict=True))
    return Shop(tasks=federation.tasks, numeric=numeric, labels={TASK: label}, ids=named)


def _tables(size: Size) -> dict[str, Any]:
    batch = round(size.sample * size.shoppers)
    return {
        "federation": {
            "name": "categories", "rounds": 1, "local_steps": size.steps, "expected_batch": batch
        },
        "features": {
            "price": {"kind": "numeric"},
            "delivery_days": {"kind": "numeric"},
            **{name: {"kind": "categorical", "buckets": size.buckets, "width": 8} for name in FEATURES},
        },
        "tasks": {TASK: {"kind": "binary"}},
        "bottom": {"architecture": "shared_bottom", "hidden": [32]},
        "local": {"learning_rate": 0.5},
        "tiers": {TIER: {"shoppers": size.shoppers, "weight": 1.0}},
    }  # fmt: skip
