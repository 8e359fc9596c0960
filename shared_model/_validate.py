"""One voice for bad arguments of functions: the name, the value and what was expected."""

import math


def positive(**values: float) -> None:
    """Require every value to be a finite number above zero.

    Raises:
        ValueError: One is not; the message names it.

    >>> positive(width=8, rate=0.5)
    >>> positive(width=0)
    Traceback (most recent call last):
    ValueError: Expected width > 0, got 0.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"Expected {name} > 0, got {value}.")
