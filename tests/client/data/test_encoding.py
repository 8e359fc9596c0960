"""Typed columns become the arrays that `shared_model.features.Batch` documents."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from client.data.encoding import encode_features, encode_label, item_hashes
from client.data.hashing import bucket
from shared_model.errors import DataError
from shared_model.schema import (
    Binary,
    CountTask,
    Federation,
    Multiclass,
    Multilabel,
    Regression,
    Retrieval,
    Task,
)
from tests.client.exports import CATEGORY, NUMERIC, contract


def encoded(
    feature: dict[str, Any], values: list[Any] | None, **rest: Any
) -> dict[str, np.ndarray[Any, Any]]:
    federation = contract(features={"f": feature} | rest)
    frame = pl.DataFrame({"other": range(len(values or [0, 0]))})
    return encode_features(frame if values is None else frame.with_columns(f=pl.Series(values)), federation)


def row(text: str, name: str = "f", buckets: int = 64) -> int:
    return bucket(text, name=name, buckets=buckets, key="fedbazaar")


def labelled(task: Task, values: pl.Series) -> list[Any]:
    found: list[Any] = encode_label("t", task, values, where=lambda r: f"row {r + 1}").tolist()
    return found


def test_numbers_are_transformed_centred_scaled_and_clipped() -> None:
    feature = NUMERIC | {"transform": "log1p", "center": 1.0, "scale": 0.5, "clip": 2.0}
    numbers = encoded(feature, [0.0, math.e - 1, 1e6, -5.0, None])["numeric"][:, 0]
    # log1p: 0, 1, 13.8, 0 (negative as 0); minus 1, over 0.5, cut to 2.
    assert numbers[:4].tolist() == pytest.approx([-2.0, 0.0, 2.0, -2.0])
    assert np.isnan(numbers[4])


def test_signed_log_keeps_the_sign() -> None:
    numbers = encoded(NUMERIC | {"transform": "signed_log1p"}, [1 - math.e, math.e - 1])["numeric"][:, 0]
    assert numbers.tolist() == pytest.approx([-1.0, 1.0])


def test_a_column_that_is_not_there_is_missing_everywhere() -> None:
    assert np.isnan(encoded(NUMERIC, None)["numeric"]).all()
    assert encoded(CATEGORY, None)["ids.f"].tolist() == [0, 0]
    assert encoded({"kind": "multi", "buckets": 64, "width": 2, "max_values": 3}, None)["ids.f"].shape == (
        2,
        3,
    )
    assert encoded({"kind": "text", "buckets": 64, "width": 2, "max_grams": 5}, None)["ids.f"].sum() == 0
    assert encoded({"kind": "vector", "length": 4, "width": 2}, None)["vectors.f"].tolist() == [[0.0] * 4] * 2


def test_numeric_features_stand_in_order_of_name_however_the_file_orders_them() -> None:
    federation = contract(features={"b": NUMERIC, "a": NUMERIC})
    assert encode_features(pl.DataFrame({"a": [1.0], "b": [2.0]}), federation)["numeric"].tolist() == [
        [1.0, 2.0]
    ]


def test_a_contract_without_numbers_has_an_empty_table() -> None:
    assert encoded(CATEGORY, ["x"])["numeric"].shape == (1, 0)


def test_a_bag_holds_distinct_members_padded_with_0() -> None:
    feature = {"kind": "multi", "buckets": 64, "width": 2, "max_values": 2}
    ids = encoded(feature, [["red", "red", "big"], [], None, ["a", "b", "c"]])["ids.f"]
    assert ids.tolist() == [[row("red"), row("big")], [0, 0], [0, 0], [row("a"), row("b")]]


def test_a_blank_member_takes_no_place_in_a_bag() -> None:
    feature = {"kind": "multi", "buckets": 64, "width": 2, "max_values": 2}
    assert encoded(feature, [["", "red"]])["ids.f"].tolist() == [[row("red"), 0]]


def test_a_sequence_uses_the_rows_of_the_feature_that_describes_it() -> None:
    federation = contract(
        features={"kind": CATEGORY, "past": {"kind": "sequence", "of": ["kind"], "max_length": 3}}
    )
    frame = pl.DataFrame({"kind": ["mug", "pot"], "past.kind": [["pot", "mug", "pot", "pan"], None]})
    arrays = encode_features(frame, federation)
    mug, pot = arrays["ids.kind"].tolist()
    assert arrays["ids.past.kind"].tolist() == [[pot, mug, pot], [0, 0, 0]]


def test_an_event_without_a_feature_keeps_its_place_so_that_events_do_not_shift() -> None:
    past = {"kind": "sequence", "of": ["kind", "brand"], "max_length": 2}
    federation = contract(features={"kind": CATEGORY, "brand": CATEGORY, "past": past})
    frame = pl.DataFrame({"past.kind": [["mug", None, "mug"]], "past.brand": [[None, "acme", "acme"]]})
    arrays = encode_features(frame, federation)
    assert [(ids > 0).tolist() for ids in (arrays["ids.past.kind"], arrays["ids.past.brand"])] == [
        [[True, False]],
        [[False, True]],
    ]


def test_text_is_a_bag_of_word_grams() -> None:
    feature = {"kind": "text", "buckets": 64, "width": 2, "words": 1, "characters": (0, 0), "max_grams": 3}
    ids = encoded(feature, ["Red mug", None, "red"])["ids.f"]
    red, mug = row("w red"), row("w mug")
    assert ids.tolist() == [[red, mug, 0], [0, 0, 0], [red, 0, 0]]


def test_a_vector_passes_and_a_missing_one_is_zero() -> None:
    vectors = encoded({"kind": "vector", "length": 2, "width": 2}, [[1.0, 2.0], None, [math.nan, 3.0]])[
        "vectors.f"
    ]
    assert vectors.tolist() == [[1.0, 2.0], [0.0, 0.0], [0.0, 3.0]]


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(DataError, match="a vector of 3 numbers was found; the contract says 2"):
        encoded({"kind": "vector", "length": 2, "width": 2}, [[1.0, 2.0], [1.0, 2.0, 3.0]])


# --- labels -------------------------------------------------------------------------------------------


def test_a_regression_label_is_cut_before_it_is_scaled() -> None:
    task = Regression(kind="regression", transform="log1p", center=1.0, scale=2.0, low=0.0, high=math.e - 1)
    assert labelled(task, pl.Series([100.0, -3.0])) == [0.0, -0.5]  # log1p: 1 and 0; minus 1, over 2


def test_counts_are_cut_at_their_maximum() -> None:
    assert labelled(CountTask(kind="count", high=10.0), pl.Series([3.0, 99.0])) == [3.0, 10.0]


def test_classes_are_numbered_as_declared() -> None:
    found = labelled(
        Multiclass(kind="multiclass", classes=("low", "High")), pl.Series(["high", " LOW", None])
    )
    assert found[:2] == [1.0, 0.0]
    assert math.isnan(found[2])


def test_a_set_of_labels_may_be_empty_or_missing() -> None:
    task = Multilabel(kind="multilabel", labels=("gift", "sale"))
    found = labelled(task, pl.Series([["sale"], [], None], dtype=pl.List(pl.String)))
    assert found[:2] == [[0.0, 1.0], [0.0, 0.0]]
    assert np.isnan(found[2]).all()


def test_items_are_told_apart_letter_by_letter() -> None:
    one, same, other, missing = item_hashes(pl.Series(["ab-1", "ab-1", "AB-1", None])).tolist()
    assert one == same != other
    assert missing == 0


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (Binary(kind="binary"), [0.0, 1.0, 2.0], r"t: 1 labels .* 0 or 1 .* row 3"),
        (CountTask(kind="count"), [1.0, -1.0], r"0 or more; the first is in row 2"),
        (
            Multiclass(kind="multiclass", classes=("a", "b")),
            ["a", "c"],
            r"one of a, b; the first is in row 2",
        ),
        (
            Multilabel(kind="multilabel", labels=("a",)),
            [["a"], ["a", "c"]],
            r"any of a; the first is in row 2",
        ),
    ],
)
def test_a_label_outside_its_range_is_refused_by_position(
    task: Task, values: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        labelled(task, pl.Series(values))


def test_a_retrieval_label_waits_as_a_hash() -> None:
    assert encode_label("t", Retrieval(kind="retrieval"), pl.Series(["mug"]), str).dtype == np.uint64


def test_the_hash_key_of_the_contract_decides_the_rows() -> None:
    frame = pl.DataFrame({"f": ["garden"]})
    wide: Federation = contract(features={"f": CATEGORY | {"buckets": 2**20}})
    salted = contract(
        features={"f": CATEGORY | {"buckets": 2**20}},
        federation={"name": "test", "rounds": 1, "hash_key": "x"},
    )
    assert encode_features(frame, wide)["ids.f"] != encode_features(frame, salted)["ids.f"]
