"""Lower bounds on epsilon from evidence: one method a file, each with its source.

All of them take numbers that somebody observed and a confidence, and return what cannot be talked away: a
bound that lies above the true epsilon with a probability of at most 1 - confidence.
"""

from .curves import Curve, curve_of
from .one_run import one_run
from .one_run_fdp import one_run_fdp
from .step import Separation, separation, step_bound
from .two_worlds import two_worlds

__all__ = [
    "Curve",
    "Separation",
    "curve_of",
    "one_run",
    "one_run_fdp",
    "separation",
    "step_bound",
    "two_worlds",
]
