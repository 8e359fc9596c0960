"""Everything that a step changes is noised, heads included.

Heads that train without noise carry what shoppers did into the next gradient of what is released; of such a
scheme at a claimed epsilon of 1 an attack proved 4.87.
"""

from dataclasses import replace

import torch

from ..findings import Finding
from ..mechanism import release
from ..silence import everybody
from ..subject import Subject
from ..workload import Laboratory
from .noise import nobody
from .sensitivity import HOSTILE, laboratory_rows

_EMPTY = 4
"""Steps without rows: noise may round to zero on the public grid, but not four times on one number."""


def noised_state(subject: Subject) -> tuple[Finding, ...]:
    """Return how many numbers a step with rows changes that a step without rows leaves alone."""
    mechanism = replace(subject.mechanism, noise=everybody(subject.mechanism.noise))
    model, generator = Laboratory(subject.groups, 2), subject.generator("heads")
    busy = laboratory_rows(subject.plan.groups, HOSTILE["loud inputs"], present=True)
    *empty, full = (
        release(mechanism, model, rows, subject.federation, subject.step, generator)
        for rows in (*[nobody(subject.groups)] * _EMPTY, busy)
    )
    noised = {n: torch.stack([e[n] != 0 for e in empty]).any(0) for n in full}
    bare = [torch.logical_and(full[n] != 0, ~noised[n]) for n in full]
    return (
        Finding(
            name="heads.without_noise",
            value=float(sum(int(changed.sum()) for changed in bare)),
            high=0.0,
            says="Numbers of the model that rows change and noise does not.",
        ),
    )
