"""A training goes as the coordinator lets it go."""

import numpy as np

from server.drawing import drawn
from server.roster import Member
from simulations.schedule.plan import Coordinator
from simulations.schedule.rounds import simulated

from . import worlds

ALONE = Coordinator(wait_seconds=0.0)


def test_rounds_follow_one_another_and_everybody_is_heard() -> None:
    tally, finished = simulated(
        worlds.timeline(worlds.merchants(36.0, 18.0)), worlds.contract(), ALONE, lineage="a"
    )
    assert finished
    assert [closed.hours for closed in tally.rounds] == [0.01, 0.02, 0.03]
    assert tally.heard == tally.due == {"all": 6.0}
    assert (tally.questions, tally.answers, tally.lost, tally.stops) == (6, 6, 0, 0)


def test_a_round_without_a_quorum_is_tried_again_and_then_stops_the_run() -> None:
    made = worlds.merchants(10.0, 1e6)
    tally, finished = simulated(worlds.timeline(made), worlds.contract(quorum=0.6), ALONE, lineage="a")
    assert not finished
    assert (tally.lost, tally.stops, len(tally.rounds)) == (3, 1, 0)


def test_somebody_may_start_a_stopped_run_again() -> None:
    made = worlds.merchants(10.0, 10.0, joins=np.array([0.0, 3600.0]))
    patient = Coordinator(wait_members=2, wait_seconds=0.0, restart_hours=2.0)
    tally, finished = simulated(worlds.timeline(made), worlds.contract(), patient, lineage="a")
    assert finished
    assert tally.stops == 1
    assert tally.rounds[0].hours == 2.0 + 10 / 3600


def test_a_training_that_takes_too_long_never_finishes() -> None:
    hopeless = Coordinator(wait_members=2, wait_seconds=0.0, restart_hours=1.0, most_hours=5.0)
    tally, finished = simulated(
        worlds.timeline(worlds.merchants(10.0)), worlds.contract(), hopeless, lineage="a"
    )
    assert not finished
    assert tally.stops == 6


def test_a_round_asks_whom_the_coordinator_would_draw() -> None:
    made = worlds.merchants(*[10.0] * 5)
    tally, _ = simulated(
        worlds.timeline(made), worlds.contract(merchants_per_round=2), ALONE, lineage="schedule-0"
    )
    members = {
        1001 + i: Member(name=name, tier="any", tasks=frozenset({"late"}))
        for i, name in enumerate(made.names)
    }
    first = drawn(members, 2, lineage="schedule-0", round_number=1).values()
    assert set(tally.rounds[0].accepted) == {member.name for member in first}
    assert np.isclose(tally.due["all"], 6.0)


def test_the_pace_spaces_rounds_out() -> None:
    contract = worlds.contract(pace_seconds=36.0)
    tally, _ = simulated(worlds.timeline(worlds.merchants(18.0), pace=36.0), contract, ALONE, lineage="a")
    np.testing.assert_allclose([closed.hours for closed in tally.rounds], [0.005, 0.015, 0.025])
