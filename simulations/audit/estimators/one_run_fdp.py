"""Epsilon from one training run, against the whole privacy profile that was claimed.

As in `one_run`, coins are guessed. But the question is not whether some (epsilon, delta) allows so many right
guesses; it is whether the claimed mechanism, with its noise times a factor, does. The largest factor that it
cannot have bounds epsilon, and more tightly, since one point of a profile promises less than all of it.

Notation: m canaries, n guesses, c of them right.
"""

from collections.abc import Callable, Sequence

from shared_model.privacy import accounting
from shared_model.privacy.events import PrivacyEvent, scaled

from .curves import Curve, curve_of
from .one_run import GUESSES, Flags, Floats, outcomes

_WIDEST = 64.0
"""Noise of so many times the claimed amount is no longer told from infinite noise."""

_STEP = 1.5
"""Factor between two trials of the search's first pass."""


def one_run_fdp(
    scores: Floats,
    present: Flags,
    events: Sequence[PrivacyEvent],
    *,
    delta: float,
    confidence: float = 0.95,
) -> float:
    """Return a lower bound on epsilon at `delta`.

    Args:
        scores: How present each canary looks, shape (m,).
        present: Whether it was, by a fair coin of its own, shape (m,).
        events: What was claimed.
        delta: Of the claim.
        confidence: Of the bound, over all numbers of guesses together.

    Source: Mahloujifar, Melis and Chaudhuri (2025), algorithm 2, https://arxiv.org/abs/2410.22235, with two
    candidates a canary.
    """
    error = (1 - confidence) / GUESSES
    found = outcomes(scores, present)

    def refuted(factor: float) -> bool:
        curve = curve_of(scaled(events, factor))
        return any(refutes(curve, len(scores), guesses, right, error) for guesses, right in found)

    factor = _least_refuted(refuted)
    return accounting.epsilon(scaled(events, factor), delta) if factor is not None else 0.0


def refutes(curve: Curve, m: int, guesses: int, right: int, error: float) -> bool:
    """Return whether so many right guesses have a probability below `error` under this profile.

    `inside` and `outside` bound the mass, per canary, of a right and of a wrong guess where at least i
    guesses are right. They grow as i falls from c, as fast as the profile forces them to; more mass than
    there are guesses is a contradiction.
    """
    inside, outside = error * right / m, error * (guesses - right) / m
    for i in range(right - 1, -1, -1):
        forced = curve.least(inside)
        if forced <= outside or inside + outside > guesses / m:
            break
        inside, outside = inside + i / (guesses - i) * (forced - outside), forced
    return inside + outside > guesses / m


def _least_refuted(refuted: Callable[[float], bool]) -> float | None:
    """Return, to 1 %, the smallest noise factor that is refuted; None where there is none."""
    if not refuted(_WIDEST):
        return None
    high = 1.0 if refuted(1.0) else _WIDEST
    low = high / _STEP
    while refuted(low):
        low, high = low / _STEP, low
    while high > 1.005 * low:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if refuted(middle) else (middle, high)
    return high
