"""Broken mechanisms, each in exactly one part: the proof that the auditor has teeth.

All of them are mistakes that somebody made, or advised, in public. Every one must be refuted by a certificate
or a bound (`caught`); the honest mechanism by none.
"""

from collections.abc import Callable

from simulations.audit.mechanism import Mechanism

from . import accounting, clipping, noise, sampling

__all__ = ["MUTANTS"]

MUTANTS: dict[str, Callable[[], Mechanism]] = {
    **noise.MUTANTS,
    **clipping.MUTANTS,
    **sampling.MUTANTS,
    **accounting.MUTANTS,
}
"""Name -> the mechanism, made anew since some remember what they drew."""
