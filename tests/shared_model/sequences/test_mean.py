"""The mean of events: of each feature over the events that have it."""

import torch

from shared_model.sequences.mean import Mean

IDS = torch.tensor([[1, 0, 2], [0, 0, 0]])


def test_a_missing_event_does_not_count_and_no_event_is_the_zero_vector() -> None:
    vectors = torch.tensor([[[2.0], [9.0], [4.0]], [[9.0], [9.0], [9.0]]])
    assert Mean((1,))([vectors], [IDS]).tolist() == [[3.0], [0.0]]


def test_every_feature_has_a_mean_of_its_own() -> None:
    vectors = torch.tensor([[[2.0], [6.0], [4.0]]])
    found = Mean((1, 1))([vectors, vectors], [IDS[:1], torch.tensor([[0, 1, 0]])])
    assert found.tolist() == [[3.0, 6.0]]
