"""Self-attention is what torch's own functions compute, looks back only, and ignores what is missing."""

import torch
import torch.nn.functional as F
from torch import Tensor

from shared_model.layers import Linear
from shared_model.sequences.attention import Attention

LENGTH, INPUTS, WIDTH = 4, 3, 5
EVENTS = torch.randn(2, LENGTH, INPUTS, generator=torch.Generator().manual_seed(1))
IDS = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def made() -> Attention:
    found = Attention(INPUTS, WIDTH, LENGTH, generator=torch.Generator().manual_seed(0))
    torch.nn.init.normal_(found.positions.weight, generator=torch.Generator().manual_seed(2))
    return found


def through(layer: Linear, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


def by_torch(ours: Attention, events: Tensor) -> Tensor:
    """The state of the newest of some events, the newest first, by torch's attention in the order of time."""
    x = through(ours.enter, events) + ours.positions.weight[1 : len(events) + 1]
    x = x.flip(0).unsqueeze(0)
    n = F.layer_norm(x, (WIDTH,))
    parts = [through(layer, n) for layer in (ours.query, ours.key, ours.value)]
    x = x + F.scaled_dot_product_attention(*parts, is_causal=True)
    x = x + through(ours.outer, through(ours.inner, F.layer_norm(x, (WIDTH,))).relu())
    return x[0, -1]


def test_the_newest_event_attends_as_torch_computes_it_over_the_events_that_there_are() -> None:
    ours = made()
    found = ours([EVENTS], [IDS])
    torch.testing.assert_close(found[0], by_torch(ours, EVENTS[0]))
    torch.testing.assert_close(found[1], by_torch(ours, EVENTS[1, :2]))


def test_a_state_does_not_depend_on_later_events() -> None:
    ours, present = made(), IDS > 0
    changed = EVENTS.clone()
    changed[:, 0] = 7.0  # the newest
    before, after = ours.states(EVENTS, present), ours.states(changed, present)
    assert torch.equal(before[0, 1:], after[0, 1:])
    assert not torch.equal(before[0, 0], after[0, 0])


def test_a_missing_event_in_the_middle_does_not_count() -> None:
    ours, ids = made(), torch.tensor([[1, 0, 1, 1]])
    changed = EVENTS[:1].clone()
    changed[:, 1] = 7.0
    assert torch.equal(ours([EVENTS[:1]], [ids]), ours([changed], [ids]))


def test_where_the_newest_is_missing_the_one_before_it_speaks() -> None:
    ours, ids = made(), torch.tensor([[0, 1, 1, 0]])
    assert torch.equal(ours([EVENTS[:1]], [ids])[0], ours.states(EVENTS[:1], ids > 0)[0, 1])


def test_no_event_is_the_zero_vector_and_has_a_gradient_of_zero() -> None:
    ours = made()
    found = ours([EVENTS], [torch.zeros_like(IDS)])
    found.sum().backward()
    assert not found.any()
    assert not any(p.grad.isnan().any() for p in ours.parameters() if p.grad is not None)


def test_positions_matter() -> None:
    ours = made()
    assert not torch.allclose(ours([EVENTS[:1]], [IDS[:1]]), ours([EVENTS[:1].roll(1, 1)], [IDS[:1]]))
