"""The merchants of one simulated training: how fast they are and when they are there.

Notation: M merchants, R rounds, A attempts. Every merchant has a random stream of its own, under its name; so
adding a merchant changes nothing for the others, and all points of a grid meet the same merchants
(`tests/simulations/schedule/test_merchants.py`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared_model.schema import Federation

from ..seeds import generator
from .plan import Group

Floats = NDArray[np.float64]
KEPT_ATTEMPTS = 16
"""Draws of what gets lost, per merchant and round; later attempts begin anew with the first."""
_DAY = 24.0


@dataclass(frozen=True, kw_only=True)
class Merchants:
    """Arrays over merchants, the first axis; times in seconds from the beginning unless they say otherwise.

    Attributes:
        names: Of the merchants.
        groups: Name of the group of each.
        work: Seconds of work on every round, shape (M, R).
        lost: Whether nothing comes back, by round and attempt, shape (M, R, A).
        down: Seconds a question of one byte takes to the merchant, over its own line.
        up: The same for an answer.
        latency: Seconds that any message takes.
        opens: Hour of the day.
        hours: Online hours a day.
        joins: When it joins.
        leaves: When it leaves for good; infinite where it does not.
        held: Multiple of seconds at which an answer leaves (`answer_seconds` of its tier); 0 for at once.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    work: Floats
    lost: NDArray[np.bool_]
    down: Floats
    up: Floats
    latency: Floats
    opens: Floats
    hours: Floats
    joins: Floats
    leaves: Floats
    held: Floats


def drawn(
    members: Mapping[str, str],
    groups: Mapping[str, Group],
    federation: Federation,
    *,
    rounds: int,
    seed: int,
    repeat: int,
) -> Merchants:
    """Draw the merchants of one simulated training.

    Args:
        members: Name -> group.
        groups: By name.
        federation: Has the tiers that hold answers back.
        rounds: R; another number makes other draws.
        seed: Of the study.
        repeat: Number of the simulated training.
    """
    rows = [
        _one(groups[group], rounds, generator(seed, "schedule", str(repeat), name))
        for name, group in members.items()
    ]
    tiers = federation.tiers
    held = [tiers[group].answer_seconds if group in tiers else 0.0 for group in members.values()]
    arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Merchants(
        names=tuple(members), groups=tuple(members.values()), held=np.array(held, np.float64), **arrays
    )


def _one(group: Group, rounds: int, source: np.random.Generator) -> dict[str, Any]:
    """Draw one merchant; in a fixed order, so that one more key of a group would come last."""
    there, speed, line = group.availability, group.speed, group.network
    usual = speed.median_seconds * np.exp(speed.between * source.standard_normal())
    opens = (there.opens + there.opens_spread * source.standard_normal()) % _DAY
    joins = source.uniform(there.joins_from_hours, there.joins_to_hours) * 3600
    stays = source.standard_exponential() * _mean_stay(there.leaves_per_day)
    return {
        "work": usual * np.exp(speed.within * source.standard_normal(rounds)),
        "lost": source.random((rounds, KEPT_ATTEMPTS)) < there.lost,
        "down": 8e-6 / line.megabits_down,
        "up": 8e-6 / line.megabits_up,
        "latency": line.latency_seconds,
        "opens": opens,
        "hours": there.hours,
        "joins": joins,
        "leaves": joins + stays,
    }


def _mean_stay(leaves_per_day: float) -> float:
    """Return the seconds that a merchant stays on average, where it leaves within a day with this chance.

    >>> _mean_stay(0.0)
    inf
    """
    return -_DAY * 3600 / math.log1p(-leaves_per_day) if leaves_per_day else math.inf
