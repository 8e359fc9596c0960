"""Closes the agent's memory and environment to other processes, of its own user too. Linux only."""

import ctypes

_SET_DUMPABLE = 4  # <linux/prctl.h>


def refuse_inspection() -> None:
    """Forbid ptrace, core dumps and `/proc/PID/{environ,mem,fd,...}` to everybody but the superuser.

    Files stay as readable as their modes say: only a user of its own protects those
    (`tests/client/agent/test_process.py`).

    Raises:
        OSError: The system does not do it.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this system does not let a process close itself to others")
