"""The noise of a whole round: tables get theirs late, and none of it may be lost or given twice.

Noise on rows of a table may wait until a row is read or the round ends. So a round of several steps is
watched in which half of the rows are read again and again, by shoppers whose gradients are zero, and the
other half never.

Notation: K steps of a round, N coordinates; z is the change of a round over the claimed noise of K steps.
"""

from dataclasses import replace

import torch

from shared_model.features import Batch
from shared_model.schema import Regression

from ..findings import Finding
from ..mechanism import release
from ..subject import Subject
from ..workload import WIDTH, Laboratory, Workload
from .noise import Floats, gaussian, least

_STEPS, _ROUNDS = 4, 32
_ROWS, _READERS = 2048, 64


def owed_noise(subject: Subject) -> tuple[Finding, ...]:
    """Return how the change of a round of several steps is distributed, with rows read and rows unread."""
    z = _standardised(subject)
    says = "Standard deviation of a round on the coordinate with the least noise, over the claimed one."
    mean, scale, shape, tails = gaussian("round", z)
    return mean, scale, shape, tails, least("round.coordinates", z, says)


def _standardised(subject: Subject) -> Floats:
    plan = replace(subject.step, steps=_STEPS)
    model, rows = Laboratory(subject.groups, _ROWS // len(plan.groups)), _readers(subject)
    generator = subject.generator("owed")
    std = {group.name: group.noise_std * _STEPS**0.5 for group in plan.groups}
    # Weight decay and the proximal term move weights too, by public amounts.
    local = replace(subject.federation.local, weight_decay=0.0, proximal=0.0)
    federation = replace(subject.federation, local=local)
    changes = []
    for _ in range(_ROUNDS):
        sums = release(subject.mechanism, model, rows, federation, plan, generator)
        changes.append(torch.cat([(v / std[name.split(".")[1]]).flatten() for name, v in sums.items()]))
    found: Floats = torch.stack(changes).double().numpy()
    return found


def _readers(subject: Subject) -> Workload:
    """Return shoppers who between them read half of every table, and whose rows weigh nothing."""
    each = _ROWS // len(subject.groups) // 2 // _READERS
    return Workload(
        tasks={group: Regression(kind="regression") for group in subject.groups},
        everything=Batch(
            numeric=torch.zeros(_READERS, WIDTH),
            ids={"canary": 1 + torch.arange(_READERS * each).view(_READERS, each)},
            labels=dict.fromkeys(subject.groups, torch.zeros(_READERS)),
        ),
        unit=torch.arange(_READERS),
        units=_READERS,
        weight=torch.zeros(_READERS),
    )
