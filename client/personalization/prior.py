"""The release as it is: what a merchant gets on its first day, without own parts of heads.

With few rows a fitted own part may be worse than none. On real sellers a network's prior alone was the better
choice for few of them, and their own validation rows say for which.
"""

import copy

from client import serving_heads
from client.serving_heads import ServingHead
from shared_model.model import MultiTaskModel
from shared_model.repeats import TRAITS

from .start import Start


def personal(start: Start) -> MultiTaskModel:
    """Return the release with every own part where it begins; nothing else of `start` is read."""
    model = copy.deepcopy(start.model)
    for task in start.dataset.tasks:
        serving_heads.put(model, task, _at_start(model, task))
    return model


def _at_start(model: MultiTaskModel, task: str) -> ServingHead:
    head = model.head(task)
    weight = head.own.weight.detach()
    return ServingHead(
        weight=weight.new_zeros(weight.shape),
        bias=weight.new_full((weight.shape[-2],), head.start),
        repeats=weight.new_zeros(TRAITS),
    )
