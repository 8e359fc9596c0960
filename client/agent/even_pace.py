"""When an answer leaves: at a moment that the contract names, not when the work is done."""

import math


def wait_seconds(taken: float, answer_seconds: float) -> float:
    """Return how long to hold an answer back, in seconds.

    It leaves at a whole multiple of the contract's `answer_seconds` after the question: at the first, unless
    the work took longer. So what its time tells about the number of rows is which multiple it was.

    Args:
        taken: From the question to the end of the work, in seconds.
        answer_seconds: Of the tier; 0 for an answer at once.

    >>> wait_seconds(0.5, 20.0), wait_seconds(25.0, 20.0), wait_seconds(25.0, 0.0)
    (19.5, 15.0, 0.0)
    """
    if not answer_seconds:
        return 0.0
    return max(1, math.ceil(taken / answer_seconds)) * answer_seconds - taken
