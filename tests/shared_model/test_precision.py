"""What travels in half the bytes still carries small changes of large numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared_model.precision import PRECISIONS, decoded, encoded, rounded

HALF, FULL = PRECISIONS["float16"], PRECISIONS["float32"]


def array(*values: float) -> dict[str, np.ndarray]:
    return {"w": np.array(values, np.float32)}


def test_a_change_too_small_for_the_number_itself_arrives() -> None:
    start, trained = array(1.0), array(1.0001)
    answer = encoded(trained, start, HALF)
    assert answer["w"].dtype == np.float16
    assert decoded(answer, start, HALF)["w"] == pytest.approx(1.0001, abs=1e-7)
    assert np.float16(1.0001) == 1.0  # which is why the number itself does not travel


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=5))
def test_full_precision_changes_nothing(values: list[float]) -> None:
    trained = array(*values)
    answer = encoded(trained, array(*reversed(values)), FULL)
    assert decoded(answer, array(*reversed(values)), FULL)["w"].tolist() == trained["w"].tolist()


@given(start=st.floats(-100, 100, width=16), change=st.floats(-0.125, 0.125, width=32))
def test_a_change_arrives_with_eleven_bits(start: float, change: float) -> None:
    trained = array(start + change)
    back = decoded(encoded(trained, array(start), HALF), array(start), HALF)["w"][0]
    moved = float(trained["w"][0]) - start
    assert back == pytest.approx(float(trained["w"][0]), abs=abs(moved) * 2**-11 + 1e-5)


def test_what_does_not_fit_becomes_infinite_and_is_found_later() -> None:
    assert np.isinf(rounded(array(1e6), HALF)["w"][0])
    assert np.isinf(encoded(array(1e6), array(0.0), HALF)["w"][0])
