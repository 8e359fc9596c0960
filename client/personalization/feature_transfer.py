"""Feature transfer: what was released stays as it is, and every head gets an own part of the merchant's.

The problem is convex (`client.serving_heads.fit`). This is what "federated" means among the candidates.

Source: Yosinski et al. (2014), "How transferable are features in deep neural networks?", section 2
(frozen features).
"""

import copy

from client import serving_heads
from shared_model.model import MultiTaskModel

from .start import Start


def personal(start: Start) -> MultiTaskModel:
    """Return the release with fitted own parts; `start.strength` and `start.before` are not read."""
    model = copy.deepcopy(start.model)
    for task, head in start.heads.items():
        serving_heads.put(model, task, head)
    return model
