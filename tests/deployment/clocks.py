"""Wall clocks that tests can set, for processes of their own."""

from pathlib import Path

import pytest


def wall_clock(offset: str | Path) -> dict[str, str]:
    """Return the environment of a process whose wall clock is off.

    Args:
        offset: Such as `+10m`, or a file that holds it and may change at any time; clocks that only grow do
            not see the change.
    """
    library = next(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("faketime is not installed on this machine")
    which = (
        {"FAKETIME": offset}
        if isinstance(offset, str)
        else {
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    )
    return {"LD_PRELOAD": str(library)} | which
