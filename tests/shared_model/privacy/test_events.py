"""Events hold what was released; equal ones count together."""

import math

import pytest

from shared_model.privacy.events import PrivacyEvent, combined, composed, scaled

STEP = PrivacyEvent(sampling_rate=0.1, noise_multiplier=2.0, count=3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sampling_rate", 0.0),
        ("sampling_rate", 1.01),
        ("sampling_rate", math.nan),
        ("noise_multiplier", 0.0),
        ("noise_multiplier", -1.0),
        ("noise_multiplier", math.inf),
        ("noise_multiplier", math.nan),
        ("count", 0),
        ("count", 1.5),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        PrivacyEvent(**{"sampling_rate": 0.1, "noise_multiplier": 1.0, field: value})


def test_two_equal_clip_groups_need_more_noise_by_the_root_of_two():
    assert combined([1.0, 1.0]) == pytest.approx(1 / math.sqrt(2))  # both move: sqrt(1 + 1) deviations


def test_one_clip_group_is_itself():
    assert combined([1.7]) == pytest.approx(1.7)


@pytest.mark.parametrize("multipliers", [[], [1.0, 0.0], [1.0, math.inf]])
def test_groups_without_noise_cannot_be_combined(multipliers):
    with pytest.raises(ValueError, match=r"clip group|noise_multiplier"):
        combined(multipliers)


def test_equal_releases_are_counted_together_in_any_order():
    other = PrivacyEvent(sampling_rate=1.0, noise_multiplier=5.0)
    assert composed([other, STEP, STEP]) == composed([STEP, other, STEP])
    assert [event.count for event in composed([STEP, other, STEP])] == [6, 1]


def test_scaling_changes_the_noise_alone():
    assert scaled([STEP], 1.5) == (PrivacyEvent(sampling_rate=0.1, noise_multiplier=3.0, count=3),)
