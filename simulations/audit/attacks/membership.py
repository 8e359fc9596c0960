"""Was a shopper's purchase among those that the released model was trained on?

The likelihood ratio attack, online: the attacker trains many federations itself, in each of which every
shopper takes part or does not, by a coin. So it knows how sure a model is of a shopper who was in and of one
who was out, and asks which of the two the released model looks like.

Every federation is attacked in turn with the others as the attacker's own, as Carlini et al. (2022)
do. Merchants are much smaller than real ones: few shoppers are what a model remembers best.

Source: Carlini et al. (2022), "Membership Inference Attacks From First Principles", algorithm 1.

Notation: S federations, N shoppers.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shared_model.schema import Federation

from .measures import auc, true_positive_rate
from .outcome import Outcome, Progress, silent
from .shop import Shop
from .training import federated, new_model, pair, repeated

TASK = "bad_review"
FALSE_ALARMS = 0.01
_SOURCE = "Carlini et al. (2022), algorithm 1 (LiRA)"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained.

    Attributes:
        federations: S.
        merchants: In every federation.
        shoppers: Of every merchant, of whom half take part.
        features: Numbers known of every purchase.
        rounds: Of every training.
    """

    federations: int = 48
    merchants: int = 6
    shoppers: int = 8
    features: int = 40
    rounds: int = 20


FULL = Size()


def attack(
    *, epsilon: float, seed: int, progress: Progress = silent, size: Size = FULL
) -> tuple[Outcome, ...]:
    """Return the area under the curve, and the share found at 1 % false alarms (see `outcome.Attack`)."""
    contracts = pair(_tables(size), epsilon=epsilon, clipping_norm=4.0)
    generator = torch.Generator().manual_seed(seed)
    people = _people(contracts[0], size, generator)
    took_part = _balanced(size.federations, people.units, generator)
    plain, private = (
        _scores(people, took_part, contract, size, generator, lambda done, i=i: progress((i + done) / 2))  # type: ignore[misc]
        for i, contract in enumerate(contracts)
    )
    return tuple(
        Outcome(
            name=f"who took part, {words}",
            attacked="From the released model, whether a certain shopper's purchase was in the training.",
            metric=metric,
            plain=figure(plain, took_part),
            private=figure(private, took_part),
            chance=chance,
            worst=1.0,
            epsilon=epsilon,
            source=_SOURCE,
        )
        for words, metric, chance, figure in _FIGURES
    )


def _low_false_alarms(scores: Tensor, truth: Tensor) -> float:
    return true_positive_rate(scores, truth, false_positive_rate=FALSE_ALARMS)


_FIGURES = (
    ("overall", "AUC", 0.5, auc),
    ("with few false alarms", "found at 1 % false alarms", FALSE_ALARMS, _low_false_alarms),
)


def likelihood_ratios(confidence: Tensor, took_part: Tensor) -> Tensor:
    """Return the log likelihood ratio of in against out for every federation and shopper, shape (S, N).

    In federation s, shopper n's two normal distributions are fitted to the confidences of all other
    federations. Both share one variance, since there are few federations (as Carlini et al. 2022 advise).

    Args:
        confidence: How sure every federation's model is of every shopper's true label, in logits, (S, N).
        took_part: 1 where the shopper took part, (S, N), at least two ones and zeros in every column.
    """
    x, inside = confidence.double(), took_part.double()
    of_in, of_out = _others_mean(x, inside), _others_mean(x, 1 - inside)
    residual = (x - torch.where(took_part.bool(), of_in, of_out)).square()
    variance = (residual.sum(0) - residual) / (len(x) - 1) + 1e-12
    return ((x - of_out).square() - (x - of_in).square()) / (2 * variance)


def _others_mean(x: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the chosen federations but the one of the row."""
    return ((x * chosen).sum(0) - x * chosen) / (chosen.sum(0) - chosen)


def _scores(
    people: Shop,
    took_part: Tensor,
    federation: Federation,
    size: Size,
    generator: torch.Generator,
    progress: Progress,
) -> Tensor:
    confidence = torch.stack(
        [
            _confidence(people, took_part[s].bool(), federation, size, generator)
            for s in repeated(size.federations, progress)
        ]
    )
    return likelihood_ratios(confidence, took_part)


def _confidence(
    people: Shop, takes_part: Tensor, federation: Federation, size: Size, generator: torch.Generator
) -> Tensor:
    """Train one federation; return its released model's logit of every shopper's true label, shape (N,)."""
    model = new_model(federation, torch.Generator().manual_seed(0))
    merchant = torch.arange(people.units) % size.merchants
    members = [people.only(takes_part & (merchant == m)) for m in range(size.merchants)]
    federated(model, members, federation, generator)
    with torch.no_grad():
        logit: Tensor = model(people.all(), own=False)[TASK].squeeze(-1)
    return logit * (2 * people.labels[TASK] - 1)


def _people(federation: Federation, size: Size, generator: torch.Generator) -> Shop:
    """Draw shoppers whose label hangs on one number and on chance; the rest a model only remembers."""
    units = size.merchants * size.shoppers
    numeric = torch.randn(units, size.features, generator=generator)
    chance = torch.randn(units, generator=generator)
    return Shop(tasks=federation.tasks, numeric=numeric, labels={TASK: (numeric[:, 0] + chance > 0).float()})


def _balanced(federations: int, units: int, generator: torch.Generator) -> Tensor:
    """Every shopper takes part in half of the federations, shape (S, N)."""
    order = torch.rand(federations, units, generator=generator).argsort(0).argsort(0)
    return (order < federations // 2).float()


def _tables(size: Size) -> dict[str, Any]:
    return {
        "federation": {
            "name": "membership", "rounds": size.rounds, "full_batch": True,
            "expected_batch": size.shoppers // 2,
        },
        "features": {f"number_{i:02d}": {"kind": "numeric"} for i in range(size.features)},
        "tasks": {TASK: {"kind": "binary"}},
        "bottom": {"architecture": "wide"},
        "local": {"learning_rate": 2.0},
    }  # fmt: skip
