"""What a run's journal tells a person: how far it is, who was there, why it stopped."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Event = Mapping[str, Any]


@dataclass(frozen=True)
class RoundHistory:
    """One round, open or closed.

    Attributes:
        number: From 1.
        asked: Names of the merchants asked.
        accepted: Names whose updates were added; empty while the round is open.
        refused: Name -> why its reply was not used.
        missing: Names that did not answer.
        seconds: It took; 0 while it is open.
    """

    number: int
    asked: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class History:
    """A run until now.

    Attributes:
        rounds: Planned; 0 before it began.
        done: Rounds completed.
        open: The round that is being asked for, with what is known of it.
        last: The last completed one.
        stopped: Why the run stopped; empty while nothing said that it did.
        released: Name -> `adopted`, `missing` or why not; None before the release.
    """

    rounds: int = 0
    done: int = 0
    open: RoundHistory | None = None
    last: RoundHistory | None = None
    stopped: str = ""
    released: Mapping[str, str] | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the released arrays were offered to the members."""
        return self.released is not None


def told(events: Iterable[Event], before: History | None = None) -> History:
    """Return the history after `events`, which follow on `before`."""
    history = before or History()
    for event in events:
        history = _TOLD.get(event["event"], _nothing)(history, event)
    return history


def tally(outcome: Mapping[str, str]) -> str:
    """Return how many members ended how, with the names of those that need attention.

    >>> tally({"acme": "adopted", "bravo": "missing", "coral": "adopted"})
    '2 adopted, 1 missing (bravo)'
    """
    groups: dict[str, list[str]] = {}
    for name, what in outcome.items():
        groups.setdefault(what, []).append(name)
    return ", ".join(
        f"{len(names)} {what}" + ("" if what == "adopted" else f" ({', '.join(names)})")
        for what, names in sorted(groups.items())
    )


def _nothing(history: History, event: Event) -> History:
    return history


def _started(history: History, event: Event) -> History:
    return replace(history, rounds=event["rounds"], stopped="")


def _resumed(history: History, event: Event) -> History:
    return replace(history, done=event["round"], open=None, stopped="")


def _opened(history: History, event: Event) -> History:
    opened = RoundHistory(event["round"], asked=tuple(event["asked"]))
    return replace(history, open=opened, stopped="")


def _refused(history: History, event: Event) -> History:
    if history.open is None or not event.get("merchant"):
        return history
    refused = {**history.open.refused, event["merchant"]: event["reason"]}
    return replace(history, open=replace(history.open, refused=refused))


def _missing(history: History, event: Event) -> History:
    if history.open is None:
        return history
    missing = (*history.open.missing, event["merchant"])
    return replace(history, open=replace(history.open, missing=missing))


def _closed(history: History, event: Event) -> History:
    opened = history.open or RoundHistory(event["round"])
    closed = replace(opened, accepted=tuple(event["accepted"]), seconds=event["seconds"])
    return replace(history, done=event["round"], open=None, last=closed)


def _stopped(history: History, event: Event) -> History:
    return replace(history, stopped=event["reason"])


def _released(history: History, event: Event) -> History:
    return replace(history, released=event["members"], stopped="")


_TOLD: Mapping[str, Callable[[History, Event], History]] = {
    "run_started": _started,
    "resumed": _resumed,
    "round_opened": _opened,
    "reply_refused": _refused,
    "reply_missing": _missing,
    "round_closed": _closed,
    "run_stopped": _stopped,
    "released": _released,
}
