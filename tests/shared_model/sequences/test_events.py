"""Events side by side, without the places that nobody fills."""

import torch

from shared_model.sequences.events import events_of

VECTORS = torch.arange(8.0).reshape(2, 4, 1)


def test_places_that_no_row_fills_are_left_out() -> None:
    events, present = events_of([VECTORS], [torch.tensor([[1, 0, 0, 0], [0, 2, 0, 0]])])
    assert events.tolist() == [[[0.0], [1.0]], [[4.0], [5.0]]]
    assert present.tolist() == [[True, False], [False, True]]


def test_one_place_stays_where_nobody_has_an_event() -> None:
    events, present = events_of([VECTORS], [torch.zeros(2, 4, dtype=torch.long)])
    assert events.shape == (2, 1, 1)
    assert not present.any()


def test_an_event_is_there_where_any_of_its_features_is() -> None:
    ids = [torch.tensor([[1, 0, 0, 0]]), torch.tensor([[0, 0, 3, 0]])]
    events, present = events_of([VECTORS[:1], VECTORS[:1]], ids)
    assert events.shape == (1, 3, 2)
    assert present.tolist() == [[True, False, True]]
