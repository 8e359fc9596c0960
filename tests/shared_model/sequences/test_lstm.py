"""The LSTM from linear layers is torch's, reads the oldest event first, and steps over what is missing."""

import torch
from torch import nn

from shared_model.sequences.lstm import LSTM

LENGTH, INPUTS, WIDTH = 4, 3, 5
EVENTS = torch.randn(6, LENGTH, INPUTS, generator=torch.Generator().manual_seed(1))
ALL = torch.ones(6, LENGTH, dtype=torch.long)


def made() -> LSTM:
    return LSTM(INPUTS, WIDTH, generator=torch.Generator().manual_seed(0))


def reference(ours: LSTM) -> nn.LSTM:
    """Torch's with the same weights; it has a second bias, which is zero here."""
    theirs = nn.LSTM(INPUTS, WIDTH, batch_first=True)
    assert ours.reads.bias is not None
    values = {
        "weight_ih_l0": ours.reads.weight,
        "weight_hh_l0": ours.keeps.weight,
        "bias_ih_l0": ours.reads.bias,
        "bias_hh_l0": torch.zeros(4 * WIDTH),
    }
    theirs.load_state_dict(values)
    return theirs


def test_it_is_torchs_lstm_over_the_events_from_the_oldest_to_the_newest() -> None:
    ours = made()
    _, (hidden, _) = reference(ours)(EVENTS.flip(1))
    torch.testing.assert_close(ours([EVENTS], [ALL]), hidden[0])


def test_its_gradients_are_those_of_torchs_lstm() -> None:
    ours = made()
    theirs = reference(ours)
    ours([EVENTS], [ALL]).square().sum().backward()
    theirs(EVENTS.flip(1))[1][0].square().sum().backward()
    torch.testing.assert_close(ours.reads.weight.grad, theirs.weight_ih_l0.grad)
    torch.testing.assert_close(ours.keeps.weight.grad, theirs.weight_hh_l0.grad)


def test_a_missing_event_keeps_the_state_wherever_it_stands() -> None:
    ours = made()
    ids = torch.tensor([[1, 0, 1, 0]])
    found = ours([EVENTS[:1]], [ids])
    torch.testing.assert_close(found, ours([EVENTS[:1, [0, 2]]], [ids[:, [0, 2]]]))


def test_what_stands_in_the_place_of_a_missing_event_does_not_count() -> None:
    ours, ids = made(), torch.tensor([[1, 1, 0, 0]])
    other = EVENTS[:1].clone()
    other[:, 2:] = 7.0
    assert torch.equal(ours([EVENTS[:1]], [ids]), ours([other], [ids]))


def test_no_event_is_the_zero_vector() -> None:
    assert not made()([EVENTS], [torch.zeros_like(ALL)]).any()


def test_an_event_of_which_one_feature_is_known_counts() -> None:
    ours, first = made(), torch.tensor([[1, 0, 0, 0]])
    parts = [EVENTS[:1, :, :2], EVENTS[:1, :, 2:]]
    found = ours(parts, [torch.zeros_like(first), first])
    assert torch.equal(found, ours(parts, [first, first]))
