"""How much each task counts in local training, beside the `weight` that the contract gives it.

One file each, one row of the table each. A method lives for one round; what it must know of the rounds before
comes from the merchant's state and goes back there, and never leaves the shop.
"""

from collections.abc import Callable

from shared_model.schema import Weighting

from .dwa import Dwa
from .fixed import Fixed
from .gradnorm import GradNorm
from .step import Memory, Step, Weigher

__all__ = ["WEIGHTINGS", "Memory", "Step", "Weigher"]

WEIGHTINGS: dict[Weighting, Callable[[Memory], Weigher]] = {
    "fixed": Fixed,
    "uncertainty": Fixed,  # the weights are parameters of the model (`shared_model.heads.Head.weighed`)
    "dwa": Dwa,
    "gradnorm": GradNorm,
}
"""Makes the method for one round from what the round before remembered, nothing before the first."""
