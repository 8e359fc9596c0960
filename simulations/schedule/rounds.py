"""A whole training on the simulated clock, asked for as the coordinator asks.

The rules of `server/coordinator.py`: a round asks those that can be reached, some of them where the contract
says so, waits until all have answered or the deadline is over, needs the quorum, is tried a number of times,
and then stops the run; whoever runs it may start it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.drawing import drawn
from server.open_round import needed
from server.roster import Member
from shared_model.schema import Federation

from .plan import Coordinator
from .timeline import Attempt, Timeline

_NO_TASKS: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Closed:
    """A round that ended well.

    Attributes:
        hours: When, since the beginning.
        asked: Number of merchants in the attempt that reached the quorum.
        accepted: Names, in the order of their answers.
        attempts: It took.
    """

    hours: float
    asked: int
    accepted: tuple[str, ...]
    attempts: int


@dataclass
class Tally:
    """What happened in one simulated training so far.

    Attributes:
        rounds: Those that ended well.
        lost: Attempts that missed the quorum.
        stops: Times that the run stopped.
        questions: Asked.
        answers: That were used.
        due: Group -> answers it would have given, had all its members been there in time.
        heard: Group -> answers of it that were used.
    """

    rounds: list[Closed] = field(default_factory=list)
    lost: int = 0
    stops: int = 0
    questions: int = 0
    answers: int = 0
    due: dict[str, float] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)


def simulated(
    timeline: Timeline, federation: Federation, coordinator: Coordinator, *, lineage: str
) -> tuple[Tally, bool]:
    """Let a training run on a timeline; return what happened, and whether it finished.

    Args:
        timeline: At the beginning.
        federation: The contract.
        coordinator: How runs are started.
        lineage: Decides who is asked, where not everybody is.
    """
    terms, tally = federation.federation, Tally()
    while len(tally.rounds) < terms.rounds:
        began, number = timeline.now, len(tally.rounds) + 1
        if not _round(timeline, federation, coordinator, tally, number, lineage):
            tally.stops += 1
            timeline.now += coordinator.restart_hours * 3600
            if not coordinator.restart_hours or timeline.now > coordinator.most_hours * 3600:
                return tally, False
        elif number < terms.rounds:
            timeline.now = max(timeline.now, began + terms.pace_seconds)
        if timeline.now > coordinator.most_hours * 3600:
            return tally, False
    return tally, True


def _round(
    timeline: Timeline,
    federation: Federation,
    coordinator: Coordinator,
    tally: Tally,
    number: int,
    lineage: str,
) -> bool:
    """Ask for one round until a quorum answers; return whether it did."""
    terms = federation.federation
    for attempt in range(terms.attempts):
        if not timeline.wait(coordinator.wait_members, coordinator.wait_seconds):
            return False
        members, present = len(timeline.members()), timeline.present()
        chosen = drawn_of(timeline, present, terms.merchants_per_round, lineage=lineage, number=number)
        found = timeline.ask(number, attempt, chosen, terms.deadline_seconds)
        tally.questions += len(found.asked)
        if len(found.accepted) >= needed(terms.quorum, len(found.asked)):
            count(tally, timeline, found, attempt, share=min(1.0, _share(terms.merchants_per_round, members)))
            return True
        tally.lost += 1
    return False


def count(tally: Tally, timeline: Timeline, found: Attempt, attempt: int, *, share: float) -> None:
    """Enter a round that ended well.

    Args:
        tally: To enter it in.
        timeline: At its end.
        found: The attempt that reached the quorum.
        attempt: Its number, from 0.
        share: Of the members that a round asks.
    """
    names, groups = timeline.merchants.names, len(timeline.groups)
    for tallied, who, worth in ((tally.due, timeline.members(), share), (tally.heard, found.accepted, 1.0)):
        counts = np.bincount(timeline.group_of[who], minlength=groups)
        for group, number in zip(timeline.groups, counts, strict=True):
            tallied[str(group)] = tallied.get(str(group), 0.0) + worth * float(number)
    tally.answers += len(found.accepted)
    tally.rounds.append(
        Closed(
            hours=timeline.now / 3600,
            asked=len(found.asked),
            accepted=tuple(names[position] for position in found.accepted),
            attempts=attempt + 1,
        )
    )


def drawn_of(
    timeline: Timeline, present: NDArray[np.int64], per_round: int, *, lineage: str, number: int
) -> list[int]:
    """Return the positions of whom a round asks, drawn as the coordinator draws them."""
    if not 0 < per_round < len(present):
        return [int(position) for position in present]
    names = timeline.merchants.names
    members: Mapping[int, Member] = {int(p): Member(name=names[p], tier="", tasks=_NO_TASKS) for p in present}
    return list(drawn(members, per_round, lineage=lineage, round_number=number))


def _share(per_round: int, members: int) -> float:
    return per_round / max(members, 1) if per_round else 1.0
