"""Every merchant has a random stream of its own."""

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.schedule.merchants import Merchants, drawn
from simulations.schedule.plan import Availability, Group, Speed

from . import worlds

GROUPS = {
    "slow": Group(
        name="slow", speed=Speed(median_seconds=60.0), availability=Availability(leaves_per_day=0.1)
    ),
    "fast": Group(name="fast", speed=Speed(median_seconds=5.0), availability=Availability(lost=0.2)),
}
NAMES = st.lists(st.text("abcdef", min_size=1, max_size=6), min_size=1, max_size=6, unique=True)
ARRAYS = [f.name for f in fields(Merchants) if f.name not in ("names", "groups")]


def draw(members: dict[str, str], *, repeat: int = 0) -> Merchants:
    return drawn(members, GROUPS, worlds.contract(), rounds=4, seed=7, repeat=repeat)


@settings(max_examples=25, deadline=None)
@given(names=NAMES, place=st.integers(0, 6))
def test_one_more_merchant_changes_nothing_for_the_others(names: list[str], place: int) -> None:
    more = [*names[:place], "newcomer", *names[place:]]
    before, after = draw(dict.fromkeys(names, "slow")), draw(dict.fromkeys(more, "slow"))
    kept = [more.index(name) for name in names]
    assert all(np.array_equal(getattr(before, f), getattr(after, f)[kept]) for f in ARRAYS)


def test_another_training_has_other_merchants() -> None:
    members = {"a": "slow", "b": "fast"}
    assert not np.array_equal(draw(members).work, draw(members, repeat=1).work)


def test_half_of_many_merchants_are_faster_than_the_median() -> None:
    # 400 merchants: more than 4 standard deviations (0.025) from one half in 6 of 100,000 draws.
    work = draw({f"m{i}": "slow" for i in range(400)}).work[:, 0]
    assert abs(np.mean(work < 60.0) - 0.5) < 0.1


def test_answers_are_held_back_as_the_tier_says() -> None:
    tiers = {"slow": {"shoppers": 0, "weight": 1.0, "answer_seconds": 20.0}}
    contract = worlds.contract()
    held = drawn({"a": "slow"}, GROUPS, worlds.with_tiers(contract, tiers), rounds=1, seed=0, repeat=0).held
    assert held.tolist() == [20.0]
