"""Under a rule for conflicts a step tells one noised Jacobian, with noise of its own on every number.

The other certificates look at what comes out behind the rule, where a shopper may move more or less than was
claimed at no cost. That the Jacobian itself keeps to its clip, `own_model.py` shows; this looks at its noise.
A rule subtracts tasks' gradients from each other, so noise that two of them shared would vanish.

Nothing to find in a contract without a rule. Notation: T tasks, N columns, R releases of a merchant without
rows; z is their noise over the claimed one, shape (R T, N).
"""

import numpy as np
import torch

from shared_model.features import Batch
from shared_model.model import build
from shared_model.privacy.plan import trained_tasks

from ..findings import Finding
from ..mechanism import jacobian
from ..subject import Subject
from ..workload import Workload
from .noise import Floats, correlation, gaussian

_RELEASES, _COLUMNS = 24, 2048


def conflict(subject: Subject) -> tuple[Finding, ...]:
    """Return how the noise of Jacobians is distributed, and how that of their rows hangs together."""
    if subject.federation.local.conflict == "none":
        return ()
    z = _standardised(subject)
    says = "Largest correlation between the noise of two gradients, of one step or of two."
    return (*gaussian("conflict", z), correlation("conflict.rows", z, says))


def _standardised(subject: Subject) -> Floats:
    model = build(subject.federation, generator=subject.generator("conflict", "model"))
    nobody, generator = _nobody(subject), subject.generator("conflict")
    (group,) = subject.step.groups
    found = [
        jacobian(subject.mechanism, model, nobody, subject.federation, subject.step, generator)
        for _ in range(_RELEASES)
    ]
    z = (torch.cat(found) / group.noise_std).double().numpy()
    columns = np.unique(np.linspace(0, z.shape[1] - 1, _COLUMNS).astype(int))
    chosen: Floats = z[:, columns]
    return chosen


def _nobody(subject: Subject) -> Workload:
    tasks = {name: subject.federation.tasks[name] for name in trained_tasks(subject.federation)}
    none = torch.zeros(0)
    return Workload(
        tasks=tasks,
        everything=Batch(numeric=torch.zeros(0, 0), labels=dict.fromkeys(tasks, none)),
        unit=none.long(),
        units=0,
        weight=none,
    )
