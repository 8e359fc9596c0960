"""Why things happen in a synthetic shop: every outcome is linear in a few predictors.

Predictors are scaled by public constants to about unit size. A coefficient of merchant m is

    coefficient_m = sqrt(r) * shared + sqrt(1 - r) * |shared| * own_m,   own_m ~ Normal(0, 1)

with relatedness r: its second moment is shared**2 whatever r is. So r changes how much merchants have in
common and not how much there is to learn at each of them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .options import SyntheticMarket

Floats = NDArray[np.float64]

SHARED: dict[str, dict[str, float]] = {
    # log(1 + days) from order to delivery
    "delivery": {"distance": 0.30, "remoteness": 0.15, "weight": 0.12, "weekend": 0.15, "season": 0.15},
    # log odds of 3 stars or fewer
    "bad_review": {"delay": 1.2, "days": 0.5, "price": 0.4, "grade": -0.6, "complexity": 0.6},
    # log odds that the order is sent back
    "returned": {"bad": 1.2, "price": 0.5, "complexity": 0.6},
    # log odds that the shopper orders again soon after delivery
    "rebuy": {"bad": -1.0, "loyalty": 0.9, "price": -0.4, "orders_before": 0.4},
    # utility of an item to a shopper who chooses
    "choice": {"price": -0.4, "season": 0.7, "affinity": 1.2},
    # log odds that a session ends in a purchase
    "session_purchase": {"intent": 0.8, "device": 0.4, "views": 0.5, "cart": 0.9},
    # log odds that an advertisement is clicked
    "ad_click": {"intent": 0.5, "device": -0.4, "price": -0.5, "grade": 0.4},
}
"""The shared coefficients: outcome -> predictor -> value."""

BASE: dict[str, tuple[float, float]] = {
    "delivery": (2.05, 0.30),
    "bad_review": (-1.6, 0.60),
    "returned": (-3.2, 0.60),
    "rebuy": (0.0, 0.60),
    "choice": (0.0, 0.0),
    "session_purchase": (-1.9, 0.50),
    "ad_click": (-2.2, 0.50),
}
"""Outcome -> level where all predictors are 0, and how much it differs between merchants at label shift 1.

The level of `rebuy` is added to the log odds of the option `repeat`.
"""

DELIVERY_NOISE = 0.3
"""Standard deviation of log(1 + days) around its mechanics."""


@dataclass(frozen=True, kw_only=True)
class Mechanics:
    """The mechanics of one merchant.

    Attributes:
        base: Outcome -> level.
        coefficients: Outcome -> predictor -> coefficient.
    """

    base: Mapping[str, float]
    coefficients: Mapping[str, Mapping[str, float]]

    def score(self, outcome: str, **predictors: Floats) -> Floats:
        """Return base + sum of coefficient * predictor, in the outcome's unit (see `SHARED`).

        Raises:
            KeyError: A predictor that the outcome does not have.
        """
        own = self.coefficients[outcome]
        return np.asarray(self.base[outcome] + sum(own[name] * x for name, x in predictors.items()))

    def to_mapping(self) -> dict[str, object]:
        """Return base and coefficients as plain dictionaries."""
        return asdict(self)


def draw_mechanics(options: SyntheticMarket, generator: np.random.Generator) -> Mechanics:
    """Return the mechanics of one merchant."""
    r = options.relatedness

    def coefficient(predictor: str, shared: float) -> float:
        drawn = np.sqrt(r) * shared + np.sqrt(1 - r) * abs(shared) * generator.normal()
        return float(drawn) * (options.season if predictor == "season" else 1.0)

    coefficients = {
        outcome: {predictor: coefficient(predictor, shared) for predictor, shared in predictors.items()}
        for outcome, predictors in SHARED.items()
    }
    base = {
        outcome: level + options.label_shift * spread * float(generator.normal())
        for outcome, (level, spread) in BASE.items()
    }
    base["rebuy"] += float(np.log(options.repeat / (1 - options.repeat)))
    return Mechanics(base=base, coefficients=coefficients)


def happens(log_odds: Floats, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return for each log odds whether it happened."""
    return np.asarray(generator.random(log_odds.shape) < 1 / (1 + np.exp(-log_odds)))


# --- predictors ---------------------------------------------------------------------------------------


def distance(kilometres: Floats) -> Floats:
    """Logarithm of the distance, 0 at about 220 km."""
    return np.asarray((np.log1p(kilometres) - 5.4) / 1.2)


def price(amount: Floats) -> Floats:
    """Logarithm of the price of a unit, 0 at about 33."""
    return np.asarray((np.log1p(amount) - 3.5) / 1.0)


def weight(grams: Floats) -> Floats:
    """Logarithm of the weight, 0 at about 800 g."""
    return np.asarray((np.log1p(grams) - 6.7) / 1.2)


def season(days: Floats, peak: Floats | float = 350.0) -> Floats:
    """Cosine over the year, 1 on the day `peak` of the year, -1 half a year away."""
    return np.asarray(np.cos(2 * np.pi * (days - peak) / 365.25))


def delay(days: Floats) -> Floats:
    """Days after the promised moment (negative: before it), cut and scaled to [-1, 2]."""
    return np.asarray(np.clip(days, -5, 10) / 5)


def days_taken(log_days: Floats) -> Floats:
    """Logarithm of the delivery time, 0 at about 6.8 days."""
    return np.asarray((log_days - 2.05) / 0.5)
