"""What `fedbazaar-client up` prints."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

_REPEAT_SECONDS = 600.0
_SETTLED_SECONDS = 60.0
_SAID = {"note": ""}


@dataclass
class _Told:
    """What was last printed of a child, and when it last was ready."""

    trouble: str = ""
    told: float = 0.0
    ready: float | None = None
    is_silent: bool = False


class Screen:
    """Prints one line per event; trouble that repeats itself at once, only every ten minutes."""

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
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _is_news(self, name: str, event: str, reason: str) -> bool:
        is_first = name not in self._children
        child = self._children.setdefault(name, _Told())
        if event == "starting":  # that it starts anew was said when it ended
            return is_first
        if event == "ready":
            child.ready = self._clock()
            return not child.is_silent
        if event == "ended":
            child.is_silent = not self._is_new_trouble(child, reason.partition("; next start in")[0])
            return not child.is_silent
        return event != "stopping"

    def _is_new_trouble(self, child: _Told, trouble: str) -> bool:
        now = self._clock()
        settled = child.ready is not None and now - child.ready >= _SETTLED_SECONDS
        child.ready = None
        if trouble == child.trouble and not settled and now - child.told < _REPEAT_SECONDS:
            return False
        child.trouble, child.told = trouble, now
        return True
