"""Private training: sampling, clipping, noise. Flat on purpose, so that an auditor reads it in one go.

Read in this order: `sampling` (who takes part), `records` and `rules` (what each unit wants), `clipping`
(how much of it counts), `noise`, `bookkeeping` (one step). `opacus_hooks` is the reference that all of it
must equal.
"""

from .clipping import Group
from .engines import Engine, Mode, engine
from .noise import Noise, SecureNoise, SeededNoise
from .sampling import poisson

__all__ = ["Engine", "Group", "Mode", "Noise", "SecureNoise", "SeededNoise", "engine", "poisson"]
