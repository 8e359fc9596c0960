"""A mixture of experts per task."""

import torch

from shared_model.schema import MMoE, SharedBottom

from .bottoms import X, bottom, fill


def test_with_one_expert_it_is_a_shared_bottom() -> None:
    one = bottom(MMoE(architecture="mmoe", experts=1, hidden=(4, 3)), "late", "spend")
    tower = bottom(SharedBottom(architecture="shared_bottom", hidden=(4, 3)), "late", "spend")
    for expert, layer in zip(one.experts, tower.tower.layers, strict=True):
        fill(layer, weight=expert.weight[0], bias=expert.bias[0])
    torch.testing.assert_close(one(X, ("late", "spend")), tower(X, ("late", "spend")))
