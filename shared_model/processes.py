"""Starts a few processes, keeps them running, and leaves none behind.

Both `up` commands are a list of `Child` handed to `supervise`. Every child runs below a guardian
(`shared_model.guardian`), which ends all that the child started. Linux only.

Guarantees:
    * `supervise` returns only when nothing that it started is alive; when it is killed itself, with SIGKILL
      too, the guardians end everything within seconds.
    * A child that ended is started again, for ever, but never more often than once in a minute when it keeps
      failing at once.
    * One lock, one holder: `only_one`.
    (`tests/shared_model/test_processes.py`)
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from . import guardian
from .errors import StateError

_LOOK_SECONDS = 0.1
_LOCK_TRIES = 5
_LONGEST_DELAY = 60.0
_SETTLED_SECONDS = 60.0
"""A child that ran so long did start; its next failure is the first one again."""
_TAIL_BYTES = 8192
_LOG_BYTES = 32 * 1024 * 1024

Announce = Callable[[str, str, str], None]
"""Is told a child's name, what happened to it (a word of `EVENTS`) and why (often empty)."""

EVENTS = ("starting", "ready", "ended", "stopping", "stopped")


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One way in which a child ends.

    Attributes:
        pattern: Regular expression, found in what the child wrote since it was started.
        reason: What the user is told.
        delay_seconds: At least so long until the next start.
    """

    pattern: str
    reason: str
    delay_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Child:
    """A process to keep running.

    Attributes:
        name: Under which it is announced.
        command: Program and arguments; no secrets.
        environment: All of it; nothing is inherited.
        log: Takes what it writes; the log of the start before stays as `NAME.1`.
        ready: Whether it does its work now; the next child waits for it. None: from its start on.
        endings: How its exits are explained; the first that is found counts.
        grace_seconds: From SIGTERM to SIGKILL.
    """

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool] | None = None
    endings: Sequence[Ending] = ()
    grace_seconds: float = 10.0

    @property
    def process_file(self) -> Path:
        """Holds the process id while the child runs."""
        return self.log.with_suffix(".pid")


def supervise(children: Sequence[Child], *, announce: Announce) -> None:
    """Start the children in order, keep them running, and stop them on SIGINT, SIGTERM or SIGHUP.

    To be called in the main thread. The order of stopping is the reverse; it begins too when `announce`
    raises.

    Args:
        children: Each is started when the one before it was ready for the first time.
        announce: Is told what happens.
    """
    stop: list[int] = []

    def heed(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    heeded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, heed) for number in heeded}
    watched = [_Watched(child, announce) for child in children]
    try:
        while not stop:
            for one in watched:
                one.look()
                if not one.was_ready:
                    break
            time.sleep(_LOOK_SECONDS)
    finally:
        try:
            _stop(watched)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def only_one(lock: Path, *, what: str) -> Iterator[None]:
    """Hold `lock` for the length of the block; it goes with the process, however that ends.

    Raises:
        StateError: Another process holds it. `what` begins the message: "`what` runs already".
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(handle):
            holder = os.read(handle, 32).decode(errors="replace").strip()
            raise StateError(
                f"{what} runs already{f' (process {holder})' if holder else ''}. Stop it first."
            ) from None
        os.truncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Take a lock; whoever only looks (`is_held`) has it for a moment, so one try is not enough."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_SECONDS / _LOCK_TRIES)
        else:
            return True
    return False


def is_held(lock: Path) -> bool:
    """Whether some process is inside `only_one` with this lock now."""
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def explained(output: str, code: int, endings: Sequence[Ending]) -> Ending:
    """Return the first of `endings` that is found in `output`, or one that repeats its last line."""
    for ending in endings:
        if re.search(ending.pattern, output):
            return ending
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = f": {lines[-1][:200]}" if lines else ""
    killed_by = -code if code < 0 else code - 128
    said = f"killed by {_signal_name(killed_by)}" if killed_by > 0 else f"exit code {code}{last}"
    return Ending(pattern="", reason=said)


@dataclass
class _Watched:
    """A child and where it stands: resting (no process), starting, or ready."""

    child: Child
    announce: Announce
    process: "subprocess.Popen[bytes] | None" = None
    was_ready: bool = False
    is_ready: bool = False
    failures: int = 0
    started: float = 0.0
    next_start: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Start it, see whether it is ready, or note that it ended."""
        if self.process is None:
            if time.monotonic() >= self.next_start:
                self._start()
        elif self.process.poll() is not None:
            self._ended(self.process)
        elif not self.is_ready:
            self._ask()
        else:
            _shorten(self.child.log)

    def tell(self, event: str, reason: str = "") -> None:
        self.announce(self.child.name, event, reason)

    def _start(self) -> None:
        self.tell("starting")
        self.started, self.is_ready = time.monotonic(), False
        try:
            self.process = _started(self.child)
        except OSError as error:  # a full disk, for one: it may have room again in a minute
            self._rest(Ending(pattern="", reason=str(error)))

    def _ask(self) -> None:
        if self.child.ready is None or self.child.ready():
            self.is_ready = self.was_ready = True
            self.tell("ready")

    def _ended(self, process: "subprocess.Popen[bytes]") -> None:
        _kill_session(process)
        self.process = None
        self._rest(explained(_tail(self.child.log), process.returncode, self.child.endings))

    def _rest(self, ending: Ending) -> None:
        ran = time.monotonic() - self.started
        self.failures = 1 if ran >= _SETTLED_SECONDS else self.failures + 1
        delay = max(ending.delay_seconds, min(2.0 ** min(self.failures - 1, 16), _LONGEST_DELAY))
        self.next_start = time.monotonic() + delay
        self.tell("ended", f"{ending.reason}; next start in {delay:g} s")


def _started(child: Child) -> "subprocess.Popen[bytes]":
    log = child.log
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    command = [sys.executable, "-I", "-S", guardian.__file__, os.getpid(), child.grace_seconds]
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return subprocess.Popen(
            [str(part) for part in (*command, child.process_file, *child.command)],
            env=dict(child.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C at the terminal is for the supervisor alone
        )
    finally:
        os.close(output)


def _stop(watched: Sequence[_Watched]) -> None:
    for one in reversed(watched):
        process = one.process
        if process is None:
            continue
        with suppress(Exception):  # nobody may be listening any more; stopping goes on
            one.tell("stopping")
        process.terminate()
        try:
            process.wait(one.child.grace_seconds + 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _kill_session(process)
        with suppress(Exception):
            one.tell("stopped")


def _kill_session(process: "subprocess.Popen[bytes]") -> None:
    """Kill what is left of a guardian's session; there is something only where the guardian was killed."""
    if process.returncode >= 0:
        return
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and os.getsid(int(entry.name)) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:  # somebody removed it
        return ""


def _shorten(log: Path) -> None:
    """Move a log that grew too long aside; the child goes on writing into the same, now empty, file."""
    with suppress(FileNotFoundError):
        if log.stat().st_size <= _LOG_BYTES:
            return
        with suppress(OSError):  # on a full disk the old lines are what can be spared
            shutil.copy(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
