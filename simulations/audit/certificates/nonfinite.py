"""A shopper whose rows overflow contributes exactly nothing; a broken release would betray it."""

import math

from ..findings import Finding
from ..subject import Subject
from .sensitivity import Row, laboratory_rows, moved

BROKEN: dict[str, Row] = {
    "an infinite input": Row(0, (1,), math.inf, 1.0),
    "an input that is not a number": Row(0, (1,), math.nan, 1.0),
    "a gradient that overflows": Row(0, (1,), 1e30, 1e30),
    "an infinite gradient": Row(0, (1,), 0.0, math.inf),
}


def nonfinite(subject: Subject) -> tuple[Finding, ...]:
    """Return how far shoppers with broken rows move a step, without and with good rows beside."""
    good = Row(0, (2,), 0.0, 1.0)
    moves = {name: max(_move(subject, (row,)), _move(subject, (good, row))) for name, row in BROKEN.items()}
    worst = max(moves, key=lambda name: math.inf if math.isnan(moves[name]) else moves[name])
    return (
        Finding(
            name="nonfinite.contribution",
            value=moves[worst],
            high=0.0,
            says=f"Part of a step that a shopper with broken rows makes up (worst: {worst}).",
        ),
    )


def _move(subject: Subject, rows: tuple[Row, ...]) -> float:
    groups = subject.plan.groups
    there, absent = (laboratory_rows(groups, rows, present=present) for present in (True, False))
    return moved(subject, there, absent)
