"""What `fedbazaar-client up` prints."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

_REPEAT_SECONDS = 600.0
_SAID = {"note": ""}


@dataclass
class _Told:
    """The trouble of a child that was last printed, and when; empty once it was ready again."""

    trouble: str = ""
    when: float = 0.0


class Screen:
    """Prints one line per event; trouble that goes on, only every ten minutes."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is printed yet.

        Args:
            console: Where to.
            clock: Seconds from any moment on.
        """
        self._console, self._clock = console, clock
        self._lock = threading.Lock()
        self._children: dict[str, _Told] = {}

    def __call__(self, name: str, event: str, reason: str) -> None:
        """Print an event, if it is news (`shared_model.processes.Announce`)."""
        with self._lock:
            if not self._is_news(name, event, reason):
                return
            what = ": ".join(filter(None, (_SAID.get(event, event), reason)))
            line = f"{time.strftime('%H:%M:%S')}  {name:<7} {what}"
            self._console.print(line, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _is_news(self, name: str, event: str, reason: str) -> bool:
        is_first = name not in self._children
        told = self._children.setdefault(name, _Told())
        if event == "starting":  # that it starts anew was said when it ended
            return is_first
        if event == "ready":
            told.trouble = ""
        if event == "ended":
            return self._is_new_trouble(told, reason.partition("; next start in")[0])
        return event != "stopping"

    def _is_new_trouble(self, told: _Told, trouble: str) -> bool:
        now = self._clock()
        if trouble == told.trouble and now - told.when < _REPEAT_SECONDS:
            return False
        told.trouble, told.when = trouble, now
        return True
