"""What a private contract will release, how much noise that takes, and what the noise costs.

`facts` computes, `table` prints.
"""

from .facts import Assumed, Calculation, Planned, calculation, planned

__all__ = ["Assumed", "Calculation", "Planned", "calculation", "planned"]
