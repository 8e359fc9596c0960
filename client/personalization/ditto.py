"""Ditto: a personal model beside the released one, pulled to it, kept from adoption to adoption.

    min over v of F(v) + lambda / 2 * |v - w|^2

with F the merchant's own objective and w what was released. Here F is the sum of row losses, and lambda,
`Start.strength`, is a number of rows. Own parts of heads were never released; they are pulled to where they
begin. Unlike fine-tuning it does not start again at w: it goes on from the personal model of the adoption
before, for a fixed number of steps.

Source: Li, Hu, Beirami and Smith (2021), "Ditto: Fair and Robust Federated Learning Through Personalization",
equations 1 and 2, algorithm 1. There the personal model trains beside every round; here after each release.
"""

import copy

from shared_model.model import MultiTaskModel
from shared_model.parameters import load

from .descent import STEPS, descend
from .start import Start, pulls


def personal(start: Start, *, steps: int = STEPS) -> MultiTaskModel:
    """Return the personal model after `steps` more steps."""
    model = copy.deepcopy(start.model)
    load(model, start.before)
    anchors = pulls(start, own=dict.fromkeys(start.dataset.tasks, start.strength))
    descend(model, start.dataset, anchors, start.generator, steps=steps)
    return model
