"""The claim adds up: the contract's groups, noise and steps cost what the contract promises.

Two accountants that share no code with each other say so: privacy loss distributions of dp-accounting, and
the numerical and Renyi accountants of Opacus.
"""

import math

from shared_model.privacy import accounting

from ..findings import Finding
from ..subject import Subject

_ROUNDING = 1e-9
DISAGREEMENT = 0.02
"""The numerical accountant's own error bound is .01 above, and as much below."""


def claim(subject: Subject) -> tuple[Finding, ...]:
    """Return the plan's cost by two accountants, and the noise of a step recomputed from its groups."""
    plan = subject.plan
    spent = accounting.epsilon(plan.events(), plan.delta)
    other = accounting.cross_check(plan.events(), plan.delta)
    step = 1 / math.hypot(*(group.sensitivity / group.noise_std for group in plan.groups))
    least = min(event.noise_multiplier for event in plan.round_events())
    return (
        Finding(
            name="claim.epsilon",
            value=spent,
            high=plan.epsilon,
            says="Epsilon of the whole plan by privacy loss distributions, against the contract's.",
        ),
        Finding(
            name="claim.renyi",
            value=other["opacus-rdp"] - spent,
            low=-DISAGREEMENT,
            says="By how much Opacus's Renyi accountant, a looser bound, says more.",
        ),
        Finding(
            name="claim.numerical",
            value=other["opacus-prv"] - spent,
            low=-DISAGREEMENT,
            high=DISAGREEMENT + 0.01 * spent,
            says="By how much Opacus's numerical accountant says more.",
        ),
        Finding(
            name="claim.step",
            value=least / step,
            high=1 + _ROUNDING,
            says="Noise over sensitivity that a step is charged with, over that of its clip groups.",
        ),
    )
