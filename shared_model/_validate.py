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


def in_range(low: float, high: float, **values: float) -> None:
    """Require every value to lie in [low, high].

    Raises:
        ValueError: One does not; the message names it.

    >>> in_range(0, 1, share=1.5)
    Traceback (most recent call last):
    ValueError: Expected 0 <= share <= 1, got 1.5.
    """
    for name, value in values.items():
        if not low <= value <= high:
            raise ValueError(f"Expected {low} <= {name} <= {high}, got {value}.")
