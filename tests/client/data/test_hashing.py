"""Categories hash alike at every merchant, today and tomorrow."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.hashing import bucket, bucket_column, canonical_text, grams
from shared_model.schema import Text


def hashed(value: object, *, name: str = "category", buckets: int = 1000, key: str = "fedbazaar") -> int:
    return bucket(canonical_text(value), name=name, buckets=buckets, key=key)


@pytest.mark.parametrize(
    ("value", "golden"),
    [("garden", 534), ("bed_bath_table", 523), ("SP", 243), (3, 422), ("façade", 955), ("日本", 364)],
)
def test_golden_values(value: object, golden: int) -> None:
    assert hashed(value) == golden


def test_a_different_key_is_a_different_vocabulary() -> None:
    assert hashed("garden", buckets=2**24, key="other") != hashed("garden", buckets=2**24)


def test_equal_words_of_different_features_are_unrelated() -> None:
    assert hashed("garden", buckets=2**24, name="brand") != hashed("garden", buckets=2**24)


def test_a_long_key_is_allowed() -> None:
    assert hashed("garden", key="k" * 200) > 0


@pytest.mark.parametrize("missing", [None, "", "   ", float("nan")])
def test_missing_is_row_0(missing: object) -> None:
    assert hashed(missing) == 0


@pytest.mark.parametrize("same", [3, 3.0, "3", "3.0", " 3.00 ", "+3", "３"])  # noqa: RUF001
def test_a_number_is_one_category_in_every_notation(same: object) -> None:
    assert canonical_text(same) == "3"


@pytest.mark.parametrize(
    ("value", "text"), [("007", "007"), ("-0", "0"), (-2.5, "-2.5"), ("1e3", "1e3"), (".5", ".5")]
)
def test_what_is_no_plain_number_stays_text(value: object, text: str) -> None:
    assert canonical_text(value) == text


@pytest.mark.parametrize("same", ["Straße", "STRASSE", "strasse "])
def test_case_and_blanks_do_not_matter(same: str) -> None:
    assert canonical_text(same) == "strasse"


@given(st.text(), st.integers(2, 2**24))
def test_every_text_has_a_row_inside_the_table(text: str, buckets: int) -> None:
    assert 0 <= hashed(text, buckets=buckets) < buckets


@given(st.text())
def test_the_canonical_form_is_stable(text: str) -> None:
    assert canonical_text(canonical_text(text)) == canonical_text(text)


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "B", "3.0", "3", " "])), min_size=1))
def test_a_column_hashes_like_its_values(values: list[str | None]) -> None:
    column = bucket_column(pl.Series(values, dtype=pl.String), name="category", buckets=1000, key="fedbazaar")
    assert column.tolist() == [hashed(value) for value in values]


TEXT = Text(kind="text", buckets=64, width=2, words=1, characters=(0, 0), max_grams=3)


def test_only_the_first_grams_are_kept() -> None:
    assert grams("one two two three four", TEXT) == ["w one", "w two", "w three"]


def test_no_text_has_no_grams() -> None:
    assert grams(None, TEXT) == []


def test_words_are_found_in_any_script() -> None:
    assert grams("Чашка, красная!", TEXT) == ["w чашка", "w красная"]
