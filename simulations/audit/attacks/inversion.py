"""What did a shopper buy, at which price? From one step of a merchant with few shoppers.

The first layer computes x W^T + b. A row with output derivative d_j at neuron j adds d_j x to the gradient of
W_j and d_j to that of b_j; so a neuron that a single row switched on shows the row: x = grad W_j / grad b_j.
Several such neurons of one row show the same x, while neurons that mix rows each show another mixture. The
attacker takes the x that most neurons agree on, then the next. Division is regularised by the public noise.

Source: Geiping et al. (2020), "Inverting Gradients", proposition 3.1, for the division; Boenisch et al.
(2023), "When the Curious Abandon Honesty", for neurons that a single row switches on. Zhu et al.
(2019), "Deep Leakage from Gradients", get the same by optimisation where no layer is that open.

Notation: N shoppers, F features, H neurons of the first layer.
"""

from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from shared_model.privacy.plan import plan_of
from shared_model.schema import Federation

from .outcome import Outcome, Progress, silent
from .shop import Shop
from .training import TIER, Shared, new_model, pair, repeated, train, update

TASKS = ("bad_review", "late")
FEATURES = ("basket_value", "delivery_days", "discount", "distance", "hour", "weight")
CLIPPING_NORM = 1.0
LAYER = "bottom.tower.layers.0"
RATE = 0.5
EARLIER = 20
"""Rounds of other shops before the one that is attacked."""
BOUND = 4.0
"""Features are cut to it before training, which is public too (`schema.Numeric.clip`)."""
NEAR, NEAR_IN_NOISE = 0.02, 0.05
"""Two neurons agree where their x differ by about so much, in units of the features' public scales.

Rows that few neurons show alone are found only if mixtures that happen to lie close do not count as agreeing:
with .02 the error without privacy is .088 on average, with .05 it is .127. Noise spreads what neurons show.
"""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained.

    Attributes:
        merchants: How many are attacked, each on its own; the figure is their mean.
        shoppers: N, of every merchant.
        neurons: H.
    """

    merchants: int = 40
    shoppers: int = 3
    neurons: int = 64


FULL = Size()


def attack(
    *, epsilon: float, seed: int, progress: Progress = silent, size: Size = FULL
) -> tuple[Outcome, ...]:
    """Return how far off the reconstruction is, against a guess from public constants (`outcome.Attack`)."""
    contract, private = pair(_tables(size), epsilon=epsilon, clipping_norm=CLIPPING_NORM)
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for _ in repeated(size.merchants, progress):
        model = new_model(contract, generator)
        for _ in range(EARLIER):
            train(model, draw(contract, size.shoppers, generator), contract, generator)
        shop = draw(contract, size.shoppers, generator)
        errors.append(
            [
                _error(update(model, shop, form, generator), shop, noise_of(form))
                for form in (contract, private)
            ]
        )
    return (
        Outcome.mean(
            errors,
            name="what a shopper bought",
            attacked=f"From one step of a merchant with {size.shoppers} shoppers, the numbers of each "
            "purchase: its value, its days, its distance.",
            metric="error, guess = 1",
            chance=1.0,
            worst=0.0,
            epsilon=epsilon,
            source="Geiping et al. (2020), proposition 3.1; Boenisch et al. (2023)",
        ),
    )


def candidates(weight: Tensor, bias: Tensor, noise: float) -> Tensor:
    """Return what every neuron shows, shape (H, F).

    Args:
        weight: Gradient of the layer's weight, shape (H, F).
        bias: Gradient of its bias, shape (H,).
        noise: Standard deviation of the noise on each.

    >>> candidates(torch.tensor([[0.5, 1.5]]), torch.tensor([0.5]), 0.0)
    tensor([[1., 3.]])
    """
    shrunk = bias / (bias.square() + noise**2).clamp_min(torch.finfo(bias.dtype).tiny)
    return weight * shrunk.unsqueeze(-1)


def agreed(found: Tensor, count: int, near: float) -> Tensor:
    """Return the `count` points that most rows of `found`, shape (H, F), agree on; shape (count, F).

    Rows agree where they differ by about `near`.
    """
    alike = torch.exp(-torch.cdist(found, found).square() / near**2)
    open_ = torch.ones(len(found), dtype=found.dtype)
    chosen = []
    for _ in range(count):
        support = alike @ open_ * open_
        best = int(support.argmax())
        chosen.append(found[best])
        open_ = open_ * (alike[best] < 0.5)
    return torch.stack(chosen)


def noise_of(federation: Federation) -> float:
    """Return the standard deviation of the noise on every coordinate of a gradient; public."""
    if federation.privacy is None:
        return 0.0
    plan = plan_of(federation, TIER)
    return plan.groups[0].noise_std / plan.divisor


def _error(seen: Shared, shop: Shop, noise: float) -> float:
    """Distance to the truth over that of a guess at the features' public centres, best order of shoppers."""
    weight, bias = (-seen[f"{LAYER}.{part}"].double() / RATE for part in ("weight", "bias"))
    moved = bias != 0
    shown = candidates(weight[moved], bias[moved], noise)
    guessed = agreed(shown, shop.units, NEAR_IN_NOISE if noise else NEAR).clamp(-BOUND, BOUND)
    truth = shop.numeric.double()
    distance = torch.cdist(guessed, truth).square()
    order = linear_sum_assignment(distance.numpy())
    return float((distance[order].sum() / truth.square().sum()).sqrt())


def draw(federation: Federation, shoppers: int, generator: torch.Generator) -> Shop:
    """Return a shop whose shoppers' numbers are spread as the public constants say."""
    numeric = torch.randn(shoppers, len(FEATURES), generator=generator).clamp(-BOUND, BOUND)
    logits = {task: numeric[:, i] - numeric[:, i + 1] for i, task in enumerate(TASKS)}
    labels = {task: torch.bernoulli(of.sigmoid(), generator=generator) for task, of in logits.items()}
    return Shop(tasks=federation.tasks, numeric=numeric, labels=labels)


def _tables(size: Size) -> dict[str, Any]:
    return {
        "federation": {
            "name": "inversion", "rounds": 1, "full_batch": True, "expected_batch": size.shoppers
        },
        "features": {name: {"kind": "numeric"} for name in FEATURES},
        "tasks": {name: {"kind": "binary"} for name in TASKS},
        "bottom": {"architecture": "shared_bottom", "hidden": [size.neurons, 16]},
        "local": {"learning_rate": RATE},
    }  # fmt: skip
