"""What epsilon and delta mean, and what is missing without them, in words for people who meet them first."""

import math
from pathlib import Path

from shared_model.errors import ConfigError

NOT_PROTECTED = (
    "WITHOUT differential privacy: rows stay at the merchants, but an update may tell something about a "
    "single shopper"
)

_TOO_MUCH = 20.0
"""An epsilon above which the odds may move by more than any two worlds differ in practice."""


def meaning(epsilon: float, delta: float, unit: str = "shopper") -> str:
    """Return what a guarantee means, in two sentences.

    >>> meaning(1.0, 1e-5)[:88]
    'Epsilon 1: whoever sees all that leaves a merchant can raise the odds that a certain sho'
    """
    if epsilon > _TOO_MUCH:
        least = f"Epsilon {epsilon:g} is so large that it protects nobody; smaller is stricter."
    else:
        least = (
            f"Epsilon {epsilon:g}: whoever sees all that leaves a merchant can raise the odds that a certain "
            f"{unit} was there at most {_fold(epsilon)}-fold (e^{epsilon:g}); smaller is stricter."
        )
    return f"{least} Delta {delta:g}: the chance that this bound is broken, {_chance(delta)}."


def too_likely(delta: float, shoppers: int) -> str:
    """Return a warning where `delta` is so large that one shopper of a merchant may be published in full.

    >>> too_likely(1e-6, 400)
    ''
    """
    if shoppers * delta < 1:
        return ""
    return (
        f"delta = {delta:g} is not below 1 / {shoppers:,}, one over the shoppers of a merchant: publishing "
        "one shopper in full would pass. Take a delta far below it."
    )


def missing(file: Path | str, nothing: str) -> ConfigError:
    """Return the error for a contract without a `[privacy]` table.

    Args:
        file: The contract.
        nothing: What there is therefore nothing of, as in "nothing to plan".
    """
    allowed = f"a [privacy] table. This contract trains {NOT_PROTECTED}. So there is {nothing}"
    return ConfigError(file, "privacy", None, allowed)


def _fold(epsilon: float) -> str:
    odds = math.exp(epsilon)
    return f"{odds:,.0f}" if odds >= 10 else f"{odds:.2g}"


def _chance(delta: float) -> str:
    return f"1 in {1 / delta:,.0f}"
