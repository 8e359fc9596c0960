"""What holds for every encoder in the table, and for the contract that asks for one."""

from typing import get_args

import pytest
import torch

from shared_model import schema
from shared_model.errors import ConfigError
from shared_model.features import FeatureEncoder
from shared_model.sequences import ENCODERS
from tests.shared_model.contracts import tables

EVERY = sorted(ENCODERS)


def declared(**options: object) -> schema.Sequence:
    whole = tables()
    whole["features"]["history"] |= options
    found = schema.parse_federation(whole).features["history"]
    assert isinstance(found, schema.Sequence)
    return found


def test_the_contract_knows_every_encoder() -> None:
    assert set(get_args(schema.Sequence.__annotations__["encoder"])) == set(ENCODERS)


def test_the_walks_over_all_models_use_every_encoder() -> None:
    features = schema.parse_federation(tables()).features.values()
    assert {f.encoder for f in features if isinstance(f, schema.Sequence)} == set(ENCODERS)


@pytest.mark.parametrize("encoder", EVERY)
def test_without_a_width_it_is_as_wide_as_the_tables_together(encoder: str) -> None:
    made = ENCODERS[encoder](declared(encoder=encoder), (2, 3), torch.Generator())
    ids = torch.tensor([[1, 2], [0, 0]])
    found = made([torch.ones(2, 2, 2), torch.ones(2, 2, 3)], [ids, ids])
    assert made.width == 5
    assert found.shape == (2, 5)
    assert not found[1].any()


@pytest.mark.parametrize("encoder", ["lstm", "attention"])
def test_the_contract_decides_the_width(encoder: str) -> None:
    features = {"category": schema.Categorical(kind="categorical", buckets=4, width=2)}
    sequence = declared(encoder=encoder, width=7)
    made = FeatureEncoder({**features, "history": sequence}, generator=torch.Generator())
    assert made.embedded_width == 2 + 7


def test_a_mean_of_another_width_than_its_tables_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"features.history.width.*as wide as the tables"):
        declared(encoder="mean", width=7)


def test_attention_over_single_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"features.history.width.*at least 2 with encoder = attention"):
        declared(encoder="attention", width=1)
