"""Encoded features: fixed public transforms, and missing values that say nothing."""

from dataclasses import replace

import pytest
import torch

from shared_model import schema
from shared_model.features import Batch, FeatureEncoder

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
    tags = features(batch()).embedded[:, 7:9]  # after category (2), color (2) and shelf (3)
    torch.testing.assert_close(tags[0], (table[1] + table[2]) / 2)
    torch.testing.assert_close(tags[1], table[3])


def test_a_sequence_uses_the_table_of_the_feature_that_describes_it() -> None:
    features = encoder()
    history = features(batch()).embedded[:, -5:-3]  # before trail (3)
    torch.testing.assert_close(history[0], features.tables["category"].weight[1])


def test_the_widths_are_what_comes_out() -> None:
    features = encoder()
    encoded = features(batch())
    assert encoded.dense.shape == (3, features.dense_width)
    assert encoded.embedded.shape == (3, features.embedded_width)
    assert encoded.joined.shape == (3, features.dense_width + features.embedded_width)


def with_dropout(chance: float) -> FeatureEncoder:
    vector = schema.Vector(kind="vector", length=3, width=2, dropout=chance)
    features = {**contract().features, "picture": vector}
    return FeatureEncoder(features, generator=torch.Generator().manual_seed(0))


def test_a_row_whose_vector_is_hidden_is_a_row_without_one() -> None:
    features, whole = with_dropout(0.5), batch()
    draws = torch.tensor([[0.4], [0.5], [0.9]])  # the first one is below the chance
    seen = features.with_hidden(whole, lambda out: out.copy_(draws))
    without = replace(whole, vectors={"picture": whole.vectors["picture"] * torch.tensor([[0.0], [1], [1]])})
    assert torch.equal(features(seen).joined, features(without).joined)


def test_what_is_not_hidden_is_not_scaled() -> None:
    features, whole = with_dropout(0.5), batch()
    assert torch.equal(features(features.with_hidden(whole, torch.ones_like)).joined, features(whole).joined)


def test_without_a_chance_nothing_is_drawn() -> None:
    whole = batch()
    assert encoder().with_hidden(whole, lambda out: pytest.fail("drawn")) is whole


def test_every_row_is_hidden_with_the_chance_that_the_contract_names() -> None:
    # 4000 rows: .3 +- .029, four standard deviations, so one false alarm in 16,000 seeds
    whole = Batch(numeric=torch.zeros(4000, 1), vectors={"picture": torch.ones(4000, 3)})
    generator = torch.Generator().manual_seed(0)
    seen = with_dropout(0.3).with_hidden(whole, lambda out: out.uniform_(generator=generator))
    hidden = ~seen.vectors["picture"].bool()
    assert torch.equal(hidden.any(1), hidden.all(1))
    assert float(hidden.any(1).float().mean()) == pytest.approx(0.3, abs=0.029)


def test_a_batch_moves_to_another_precision() -> None:
    moved = batch().to("cpu", torch.float64)
    assert (
        moved.numeric.dtype == moved.labels["days"].dtype == moved.vectors["picture"].dtype == torch.float64
    )
    assert moved.ids["category"].dtype == torch.int64
