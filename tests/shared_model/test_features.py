"""Encoded features: fixed public transforms, and missing values that say nothing."""

import torch

from shared_model.features import FeatureEncoder

from .contracts import batch, contract


def encoder() -> FeatureEncoder:
    return FeatureEncoder(contract().features, generator=torch.Generator().manual_seed(0))


def test_a_number_brings_its_hinge_its_step_and_its_missing_flag() -> None:
    dense = encoder()(batch()).dense
    # value, max(value - 0.5, 0), value > 1, missing
    torch.testing.assert_close(
        dense, torch.tensor([[0.2, 0.0, 0.0, 0.0], [1.5, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    )


def test_a_row_without_any_feature_is_the_zero_vector() -> None:
    assert encoder()(batch()).embedded[2].abs().max() == 0


def test_a_bag_is_the_mean_of_its_members() -> None:
    features = encoder()
    table = features.tables["tags"].weight
    tags = features(batch()).embedded[:, 5:7]  # after category (2) and shelf (3)
    torch.testing.assert_close(tags[0], (table[1] + table[2]) / 2)
    torch.testing.assert_close(tags[1], table[3])


def test_a_sequence_uses_the_table_of_the_feature_that_describes_it() -> None:
    features = encoder()
    history = features(batch()).embedded[:, -2:]
    torch.testing.assert_close(history[0], features.tables["category"].weight[1])


def test_the_widths_are_what_comes_out() -> None:
    features = encoder()
    encoded = features(batch())
    assert encoded.dense.shape == (3, features.dense_width)
    assert encoded.embedded.shape == (3, features.embedded_width)
    assert encoded.joined.shape == (3, features.dense_width + features.embedded_width)


def test_a_batch_moves_to_another_precision() -> None:
    moved = batch().to("cpu", torch.float64)
    assert (
        moved.numeric.dtype == moved.labels["days"].dtype == moved.vectors["picture"].dtype == torch.float64
    )
    assert moved.ids["category"].dtype == torch.int64
