"""Watches a run from outside: through its journal, and now and then through Flower."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shared_model import processes
from shared_model.errors import FedbazaarError, StateError

from . import flower, superlink
from .history import Event, History, told
from .lineages import Run
from .market import Market

_LOOK_SECONDS = 0.3
_HEALTH_SECONDS = 1.0
_LOST_AFTER = 3
"""So many looks in a row without an answer mean that the SuperLink is gone, and its ServerApp with it."""

_QUIET_SECONDS = (5.0, 15.0)
"""A journal that is silent for so long makes us ask Flower: before its first line, and after."""

_LOG_LINES = 3

Show = Callable[[Event, History], None]
"""Is given every new line of the journal, and the history with it."""


class RunStopped(FedbazaarError):
    """A run ended before its release; what it has is kept and `resume` goes on with it."""


@dataclass
class Tail:
    """The end of a growing journal.

    Attributes:
        path: The journal; may not be there yet.
        offset: What lies before it was seen.
    """

    path: Path
    offset: int = 0

    def new(self) -> Iterator[Event]:
        """Yield the lines written since the last call; a line that is not whole yet waits."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                yield json.loads(line)


def follow(market: Market, run: Run, identity: int, tail: Tail, history: History, show: Show) -> History:
    """Return when the run has come to its release.

    Args:
        market: The coordinator's folder.
        run: Which.
        identity: Flower's id of it.
        tail: Where in the journal to begin.
        history: What came before.
        show: Is told of what happens.

    Raises:
        RunStopped: It ended before; the message says why, as far as anybody knows.
    """
    quiet, health = _Clock(_QUIET_SECONDS[0]), _Health()
    worked = False
    while True:
        works = processes.is_held(run.lock)
        for event in tail.new():
            history = told([event], history)
            show(event, history)
            quiet = _Clock(_QUIET_SECONDS[1])
        if history.is_finished:
            return history
        if history.stopped:
            raise RunStopped(f"{_where(history)} {history.stopped}")
        if worked and not works:  # looked at before the journal was read, so nothing came after that
            raise RunStopped(f"{_where(history)} Its ServerApp was killed.")
        worked = works
        if health.is_lost(market):
            raise RunStopped(f"{_where(history)} The SuperLink was lost, and with it the ServerApp.")
        if quiet.has_run_out():
            _check_alive(market, identity, tail, history)
        time.sleep(_LOOK_SECONDS)


def _check_alive(market: Market, identity: int, tail: Tail, history: History) -> None:
    """Ask Flower whether the ServerApp runs; its last lines in the journal count more than Flower's word."""
    offset = tail.offset
    try:
        (found,) = flower.runs(market.flower_home, identity=identity)
    except (StateError, ValueError):
        return  # away or busy; whether it is lost is seen elsewhere
    if found.is_over and (not tail.path.exists() or tail.path.stat().st_size == offset):
        lines = [line.strip() for line in flower.log(market.flower_home, identity).splitlines()]
        last = " | ".join([line for line in lines if line][-_LOG_LINES:])
        reason = found.details or last or "its ServerApp ended without a word; look into state/logs/"
        raise RunStopped(f"{_where(history)} Flower says {found.status}: {reason}")


def _where(history: History) -> str:
    return f"The run stopped after round {history.done}{f' of {history.rounds}' if history.rounds else ''}."


@dataclass
class _Clock:
    """Runs out every so many seconds."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    def has_run_out(self) -> bool:
        now = time.monotonic()
        if now - self.began < self.seconds:
            return False
        self.began = now
        return True


@dataclass
class _Health:
    """Whether the SuperLink answers, looked at once a second."""

    clock: _Clock = field(default_factory=lambda: _Clock(_HEALTH_SECONDS))
    failed: int = 0

    def is_lost(self, market: Market) -> bool:
        if self.clock.has_run_out():
            self.failed = 0 if superlink.is_up(market) else self.failed + 1
        return self.failed >= _LOST_AFTER
