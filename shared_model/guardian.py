"""A small process that stands between a supervisor and one command, so that nothing outlives either.

`shared_model.processes` starts this file as a program of its own. It imports nothing but the standard library
and starts in some 20 ms. Linux only.

Guarantees:
    * When the command ends, whatever it started and left behind is ended too, also what had moved into a
      session of its own: the guardian is their subreaper, so all of them stay its descendants.
    * When the supervisor dies, of whatever signal, the guardian ends the command as if it had been told to.
    * When the guardian is killed, the command gets SIGTERM.
    (`tests/shared_model/test_processes.py`)
"""

import ctypes
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_LOOK_SECONDS = 0.05
_NOT_STARTED = 127


def main(supervisor: int, grace_seconds: float, pid_file: Path, command: list[str]) -> int:
    """Run `command` until it ends or somebody says stop, then end all that it started.

    Args:
        supervisor: Process id of who started this; its death means stop.
        grace_seconds: From SIGTERM to SIGKILL.
        pid_file: Holds the command's process id while it runs.
        command: Program and arguments.

    Returns:
        The command's exit code; -n where signal n ended it, as in `subprocess`.
    """
    _prctl(_SET_CHILD_SUBREAPER, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, _HEEDED)
    _die_with(supervisor)
    process = _started(command)
    with suppress(OSError):  # a full disk is no reason not to run
        pid_file.write_text(f"{process}\n")
    try:
        code = _until_it_ends(process)
        return _end_all(process, code, grace_seconds)
    finally:
        pid_file.unlink(missing_ok=True)


def _started(command: list[str]) -> int:
    guardian = os.getpid()
    process = os.fork()
    if process:
        return process
    try:
        os.setpgid(0, 0)
        _die_with(guardian)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEEDED)
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(_NOT_STARTED)


def _until_it_ends(process: int) -> int | None:
    """Return the command's exit code, or None when it runs on and is to be stopped."""
    while True:
        if (code := _reaped(process)) is not None:
            return code
        if signal.sigwait(_HEEDED) != signal.SIGCHLD:
            return None


def _end_all(process: int, code: int | None, grace_seconds: float) -> int:
    """End the command and its descendants, gently at first; return the command's exit code.

    A command that closed itself to others, as the agent does, is not among the descendants that are seen
    where `/proc` hides processes (`hidepid`, systemd's `ProtectProc`).
    """
    if code is None:
        _signal_group(process, signal.SIGTERM)
    told: set[int] = set()
    end = time.monotonic() + grace_seconds
    while alive := _descendants(os.getpid()) | ({process} if code is None else set()):  # seen or not
        if time.monotonic() >= end:
            _signal_all(alive, signal.SIGKILL)
        elif code is not None:  # the command is gone: what it left behind goes too
            _signal_all(alive - told, signal.SIGTERM)
            told |= alive
        time.sleep(_LOOK_SECONDS)
        found = _reaped(process)
        code = found if code is None else code
    return _NOT_STARTED if code is None else code


def _reaped(process: int) -> int | None:
    """Take the exits of all ended children; return that of `process` when it is among them."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not ended:
            return code
        if ended == process:
            code = os.waitstatus_to_exitcode(status)


def _descendants(root: int) -> set[int]:
    """Return the ids of all living processes below `root`."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry))
    found: set[int] = set()
    new = children.get(root, [])
    while new:
        found.update(new)
        new = [child for one in new for child in children.get(one, [])]
    return found


def _parent(process: str) -> int | None:
    """Return the parent of a process, or None when it is gone or hidden (`hidepid`, `ProtectProc`)."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            _, parent = file.read().rpartition(b")")[2].split()[:2]  # the name before it may hold anything
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return int(parent)


def _signal_all(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)


def _signal_group(process: int, number: signal.Signals) -> None:
    try:
        os.killpg(process, number)
    except ProcessLookupError:  # it was started a moment ago and has no group of its own yet
        _signal_all({process}, number)


def _die_with(parent: int) -> None:
    """Get SIGTERM when `parent` dies; go at once when it is dead already."""
    _prctl(_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(_NOT_STARTED)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    said = main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
    sys.exit(said if said >= 0 else 128 - said)
