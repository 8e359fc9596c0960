"""What private telemetry tells the coordinator: a mean loss per task, and how much of it is noise.

Every merchant adds a noised sum of its shoppers' bounded losses to its answer (`[privacy.telemetry]`). The
number of shoppers is private, so the divisor is what is public: the shoppers that the members' tiers stand
for, times the sampling rate. Merchants are larger than their tiers ask for, so the quotient lies above a mean
loss; it is for watching whether a training goes up or down. It is no input of the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared_model.privacy.plan import Plan, plan_of, trained_tasks
from shared_model.schema import Federation


@dataclass(frozen=True)
class Told:
    """What accepted answers of a round told so far.

    Attributes:
        sums: Sum over members, shape (T,); a zero before the first.
        variance: Of the noise on every coordinate of it.
        shoppers: Public number that the sums are over.
    """

    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    variance: float = 0.0
    shoppers: float = 0.0


def tasks_of(federation: Federation) -> tuple[str, ...]:
    """Return the tasks that answers tell of, in their order; none without `[privacy.telemetry]`."""
    if federation.privacy is None or federation.privacy.telemetry is None:
        return ()
    return trained_tasks(federation)


def add(so_far: Told, sums: NDArray[np.float32], federation: Federation, tier: str) -> Told:
    """Return `so_far` with the sums of one member of `tier` added, float32 of shape (T,)."""
    plan = plan_of(federation, tier)
    return Told(
        sums=so_far.sums + sums.astype(np.float64),
        variance=so_far.variance + _variance(plan),
        shoppers=so_far.shoppers + plan.sampling_rate * federation.tiers[tier].shoppers,
    )


def facts(told: Told, federation: Federation) -> Mapping[str, object]:
    """Return what the journal notes of a round; nothing where there is no telemetry.

    Returns:
        `telemetry`, task -> sum over shoppers; and `telemetry_std`, the standard deviation of the noise in
        each. Where the tiers stand for no shoppers at all, both are sums rather than means.
    """
    tasks = tasks_of(federation)
    if not tasks:
        return {}
    divisor = told.shoppers or 1.0
    means = np.broadcast_to(told.sums / divisor, (len(tasks),))
    return {
        "telemetry": {task: round(float(mean), 6) for task, mean in zip(tasks, means, strict=True)},
        "telemetry_std": round(float(np.sqrt(told.variance)) / divisor, 6),
    }


def _variance(plan: Plan) -> float:
    return plan.telemetry.noise_std**2 if plan.telemetry is not None else 0.0
