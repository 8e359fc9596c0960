"""Awaits a condition instead of sleeping."""

import time
from collections.abc import Callable


def eventually(
    condition: Callable[[], object], *, seconds: float = 10.0, what: str = "the condition"
) -> None:
    """Return as soon as `condition` holds; fail when it does not within `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)
