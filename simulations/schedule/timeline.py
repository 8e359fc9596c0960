"""What comes back of a question, and when, on the merchants' simulated clock.

The rules are those of the coordinator's side (`server/streaming.py`: who is busy is asked again after growing
pauses, who went offline is given up) and of the agent (one round at a time; asked again for a round that it
has answered, it answers at once; never a new round before the pace allows it).

Notation: M merchants, of which m are asked; clock times in seconds from the beginning.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.streaming import ASKED_AGAIN, FIRST_PAUSE, LONGEST_PAUSE, PATIENCE
from shared_model.protocol import Refusal
from shared_model.schema import Federation

from .. import facts
from .merchants import KEPT_ATTEMPTS, Floats, Merchants

HEARTBEAT = 60.0
"""Seconds after which a SuperLink holds a silent node for gone: twice Flower's heartbeat of 30 s."""
AWAY = HEARTBEAT + FIRST_PAUSE + PATIENCE
"""Seconds after a merchant went offline at which its question is given up."""


def _pauses() -> Floats:
    """Return the seconds from the first question to every further one to a busy merchant, the first is 0."""
    tries = ASKED_AGAIN[Refusal.BUSY]
    return np.cumsum([0.0, *(min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**n) for n in range(tries))])


PAUSES = _pauses()


def bytes_of(federation: Federation) -> tuple[int, int]:
    """Return the bytes of arrays of a question and of an answer."""
    moved = facts.contract(federation)
    return moved.bytes_down, moved.bytes_up


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What came of asking.

    Attributes:
        asked: Positions of the merchants.
        accepted: Positions of those that answered in time, in the order of their answers.
        late: Positions of those that worked, or still work, in vain for this attempt.
        seconds: That it took.
    """

    asked: NDArray[np.int64]
    accepted: NDArray[np.int64]
    late: NDArray[np.int64]
    seconds: float


class Timeline:
    """Merchants on a clock.

    Attributes:
        merchants: Who.
        now: The clock.
        groups: Their names, in order.
        group_of: Position in `groups`, for every merchant.
    """

    def __init__(
        self,
        merchants: Merchants,
        *,
        bytes_moved: tuple[int, int],
        megabits: float,
        starts_at: float,
        pace: float,
    ) -> None:
        """Set the clock to the beginning.

        Args:
            merchants: Who.
            bytes_moved: Of a question, and of an answer.
            megabits: Of the coordinator's line a second.
            starts_at: Hour of the day at the beginning.
            pace: Least seconds from the begin of a round to that of the next, at a merchant.
        """
        count = len(merchants.names)
        self.merchants, self.now = merchants, 0.0
        self._bytes, self._megabits = bytes_moved, megabits
        self._starts_at, self._pace = starts_at, pace
        self.groups, self.group_of = np.unique(merchants.groups, return_inverse=True)
        self._round = np.zeros(count, np.int64)
        self._ready = np.full(count, -np.inf)
        self._began = np.full(count, -np.inf)

    def present(self) -> NDArray[np.int64]:
        """Return the positions of the merchants that are members and online now."""
        return np.flatnonzero(self._members() & (self._phase(self.now) < self.merchants.hours))

    def members(self) -> NDArray[np.int64]:
        """Return the positions of those that have joined and not left, online or not."""
        return np.flatnonzero(self._members())

    def wait(self, members: int, seconds: float) -> bool:
        """Let the clock run until so many are present; return whether they were within `seconds`."""
        end = self.now + seconds
        while len(self.present()) < members:
            if self.now >= end:
                return False
            self.now = min(end, self.now + 1.0)
        return True

    def ask(self, number: int, attempt: int, asked: Sequence[int], deadline: float) -> Attempt:
        """Ask merchants for a round, and let the clock run until all have answered or the deadline is over.

        Args:
            number: Of the round, from 1.
            attempt: Of the round, from 0.
            asked: Positions; all are online now.
            deadline: Seconds.
        """
        m, who = self.merchants, np.asarray(asked, np.int64)
        down, up = self._bytes
        arrival = self.now + m.latency[who] + np.maximum(m.down[who] * down, self._line(who, down))
        begins, reached = self._begins(number, who, arrival)
        lost = m.lost[who, number - 1, attempt % KEPT_ATTEMPTS]
        works = reached & ~lost & (self._round[who] != number)
        ready = np.where(works, begins + self._worked(number, who), begins)
        self._round[who[works]], self._began[who[works]] = number, begins[works]
        self._ready[who[works]] = ready[works]
        closing = self._closing(who)
        answers = reached & ~lost & (ready <= closing)
        sent = ready + m.latency[who] + np.maximum(m.up[who] * up, self._line(who, up))
        known = np.where(answers, sent, np.where(ready > closing, closing + AWAY, arrival + PAUSES[-1]))
        known = np.where(reached & lost, np.inf, known)
        end = self.now + deadline
        in_time = answers & (sent <= end)
        begun = self._round[who] == number
        taken = min(deadline, float(known.max(initial=self.now)) - self.now)
        self.now += max(0.0, taken)
        order = np.argsort(sent[in_time], kind="stable")
        return Attempt(
            asked=who, accepted=who[in_time][order], late=who[begun & ~in_time], seconds=max(0.0, taken)
        )

    def _line(self, who: NDArray[np.int64], size: int) -> float:
        """Return the seconds that the coordinator's line needs for all of these merchants."""
        return len(who) * size * 8e-6 / self._megabits

    def _begins(
        self, number: int, who: NDArray[np.int64], arrival: Floats
    ) -> "tuple[Floats, np.ndarray[Any, np.dtype[np.bool_]]]":
        """Return when each is asked and free for it, and whether that is before it is given up."""
        same = self._round[who] == number
        free = np.maximum(self._ready[who], np.where(same, -np.inf, self._began[who] + self._pace))
        tries = np.searchsorted(PAUSES, free - arrival, side="left")
        reached = tries < len(PAUSES)
        return arrival + PAUSES[np.minimum(tries, len(PAUSES) - 1)], reached

    def _worked(self, number: int, who: NDArray[np.int64]) -> Floats:
        """Return seconds from the begin of work to the moment at which the answer may leave."""
        work, held = self.merchants.work[who, number - 1], self.merchants.held[who]
        multiples = np.maximum(1.0, np.ceil(work / np.where(held, held, 1.0)))
        seconds: Floats = np.where(held > 0, multiples * held, work)
        return seconds

    def _members(self) -> NDArray[np.bool_]:
        return (self.merchants.joins <= self.now) & (self.now < self.merchants.leaves)

    def _phase(self, clock: float) -> Floats:
        """Return the hours since each last opened."""
        phase: Floats = (self._starts_at + clock / 3600 - self.merchants.opens) % 24.0
        return phase

    def _closing(self, who: NDArray[np.int64]) -> Floats:
        """Return when each, online now, goes offline or leaves."""
        hours = self.merchants.hours[who]
        closes = self.now + (hours - self._phase(self.now)[who]) * 3600
        return np.minimum(np.where(hours >= 24.0, np.inf, closes), self.merchants.leaves[who])
