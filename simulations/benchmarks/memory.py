"""How much memory this process holds and has held."""

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET = Path("/proc/self/clear_refs")


def peak_bytes() -> int:
    """Return this program's own peak: what `getrusage` says on Linux includes the process that started it."""
    return _status("VmHWM") or 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident_bytes() -> int:
    """Return what is resident now; outside Linux the peak so far, which is no smaller."""
    return _status("VmRSS") or peak_bytes()


def _status(key: str) -> int:
    """Return a size in bytes, 0 where the system does not tell."""
    if not _STATUS.exists():
        return 0
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key))


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now, where Linux allows it."""
    if _FORGET.exists():
        _FORGET.write_text("5", encoding="ascii")
