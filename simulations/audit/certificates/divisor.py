"""The divisor, and so the noise in the model, says nothing about how many shoppers there are.

Measured on a stock implementation: with 5,120 rows instead of 5,119 it divides by 512 instead of 511, and one
step of a model of four million parameters shows which of the two at 4.3 standard deviations.
"""

from dataclasses import replace

import torch

from client.private.noise import Noise, SeededNoise

from ..findings import Finding
from ..mechanism import release
from ..silence import Apart
from ..subject import Subject
from ..workload import Laboratory
from .noise import nobody

_UNITS = (0, 1, 4999, 5000)


def divisor(subject: Subject) -> tuple[Finding, ...]:
    """Return by how much a release changes with the number of shoppers that contribute nothing."""
    inner = subject.mechanism.noise
    coins = SeededNoise(subject.generator("divisor", "coins"))

    def apart(generator: torch.Generator) -> Noise:
        return Apart(inner(generator), coins)

    mechanism = replace(subject.mechanism, noise=apart)
    model = Laboratory(subject.groups, 16)
    releases = [
        release(
            mechanism,
            model,
            replace(nobody(subject.groups), units=units, drawn=[]),
            subject.federation,
            subject.step,
            subject.generator("divisor"),
        )
        for units in _UNITS
    ]
    first = releases[0]
    change = max(float((r[n] - first[n]).abs().max()) for r in releases[1:] for n in first)
    return (
        Finding(
            name="divisor.size",
            value=change,
            high=0.0,
            says="Largest change of a release, at the same noise, between 0, 1, 4999 and 5000 shoppers.",
        ),
    )
