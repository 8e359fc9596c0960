"""The second layer, which hides merchants: its clip and its noise are those that were claimed.

Nothing to find in a contract without `[privacy.merchants]`.

Notation: w the largest weight of a merchant, C the clipping norm.
"""

import math

import numpy as np

from server.aggregation import Update
from server.private_aggregation import clip_factor, noise_multiplier, noisy_mean
from shared_model import schema
from shared_model.precision import PRECISIONS
from simulations import seeds

from ..findings import Finding
from ..subject import Subject
from .noise import Floats, gaussian
from .sensitivity import TOLERANCE

_SIZE = 60_000

_HOSTILE: dict[str, float] = {"huge": 1e30, "barely too long": 1.0 + 1e-6, "long": 50.0}
"""Norms of hostile updates, in clipping norms."""


def merchants(subject: Subject) -> tuple[Finding, ...]:
    """Return the law of the noise on the mean update, and how far one update moves the sum."""
    policy = subject.federation.privacy
    layer = policy.merchants if policy is not None else None
    if layer is None:
        return ()
    moves = {name: _moved(layer, norm) for name, norm in _HOSTILE.items()}
    worst = max(moves, key=lambda name: moves[name])
    return (
        *gaussian("merchants", _noise(subject, layer)),
        Finding(
            name="merchants.sensitivity",
            value=moves[worst],
            high=1 + TOLERANCE,
            says=f"Largest part of a sum that one merchant makes up, over the claim (here: {worst}).",
        ),
    )


def _noise(subject: Subject, layer: schema.MerchantPrivacy) -> Floats:
    """Return the noise of a round in which nobody answered, over the claimed one."""
    weight = max(tier.weight for tier in subject.federation.tiers.values())
    std = noise_multiplier(layer, subject.federation.federation.rounds) * weight * layer.clipping_norm
    source = seeds.generator(subject.number("merchants"), "noise")
    found: Floats = noisy_mean({}, {"w": 2.0}, {"w": (_SIZE,)}, std, source)["w"] * 2.0 / std
    return found


def _moved(layer: schema.MerchantPrivacy, norm: float) -> float:
    """Return the length of a clipped update of two arrays, over the clipping norm."""
    part = norm * layer.clipping_norm / math.sqrt(2)
    start = {name: np.zeros(3, np.float32) for name in ("a", "b")}
    values = {name: np.array([part, 0.0, 0.0], np.float32) for name in start}
    update = Update(values, start, PRECISIONS["float32"])
    factor = clip_factor(update, list(start), layer.clipping_norm)
    return factor * math.hypot(*(float(v[0]) for v in values.values())) / layer.clipping_norm
