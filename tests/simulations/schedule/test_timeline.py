"""Who answers when, small enough to follow by hand."""

import numpy as np
import pytest

from server.streaming import ASKED_AGAIN, StreamingGrid
from shared_model.protocol import Refusal
from simulations.schedule import timeline as clocks
from simulations.schedule.timeline import AWAY, PAUSES

from . import worlds

HOUR = 3600.0


def test_a_round_ends_when_the_last_answer_is_there() -> None:
    clock = worlds.timeline(worlds.merchants(30.0, 10.0))
    found = clock.ask(1, 0, [0, 1], 100.0)
    assert found.accepted.tolist() == [1, 0]
    assert clock.now == found.seconds == 30.0


def test_a_round_ends_at_the_deadline_without_the_late_ones() -> None:
    clock = worlds.timeline(worlds.merchants(30.0, 150.0))
    found = clock.ask(1, 0, [0, 1], 100.0)
    assert found.accepted.tolist() == [0]
    assert found.late.tolist() == [1]
    assert clock.now == 100.0


def test_asked_again_for_the_same_round_it_answers_at_once_or_when_it_is_ready() -> None:
    clock = worlds.timeline(worlds.merchants(30.0, 150.0))
    clock.ask(1, 0, [0, 1], 100.0)
    found = clock.ask(1, 1, [0, 1], 100.0)  # ready at 150: asked after 0, 2, 6, 14, 30, 60 seconds
    assert found.accepted.tolist() == [0, 1]
    assert found.seconds == 60.0


def test_who_is_still_busy_with_the_last_round_begins_the_next_one_late() -> None:
    clock = worlds.timeline(worlds.merchants(110.0))
    clock.ask(1, 0, [0], 100.0)
    found = clock.ask(2, 0, [0], 200.0)  # free after 10 seconds, asked again after 14, works for 110
    assert found.seconds == 14.0 + 110.0


def test_who_is_busy_for_too_long_is_given_up() -> None:
    clock = worlds.timeline(worlds.merchants(500.0))
    clock.ask(1, 0, [0], 100.0)
    found = clock.ask(2, 0, [0], 1000.0)
    assert found.accepted.tolist() == []
    assert found.seconds == PAUSES[-1] == 150.0


def test_the_pace_of_the_contract_holds_a_round_back() -> None:
    clock = worlds.timeline(worlds.merchants(10.0), pace=20.0)
    clock.ask(1, 0, [0], 100.0)
    found = clock.ask(2, 0, [0], 100.0)  # 10 seconds too early: asked again after 14
    assert found.seconds == 14.0 + 10.0


def test_a_lost_question_costs_the_whole_deadline() -> None:
    made = worlds.merchants(10.0, 10.0)
    made.lost[1, 0, 0] = True
    clock = worlds.timeline(made)
    assert clock.ask(1, 0, [0, 1], 100.0).accepted.tolist() == [0]
    assert clock.now == 100.0
    assert clock.ask(1, 1, [0, 1], 100.0).accepted.tolist() == [0, 1]


def test_who_goes_offline_while_it_works_is_given_up_and_answers_the_next_attempt() -> None:
    clock = worlds.timeline(worlds.merchants(HOUR, hours=np.array([1.0])), starts_at=0.5)
    found = clock.ask(1, 0, [0], 10 * HOUR)  # closes after half an hour
    assert found.accepted.tolist() == []
    assert found.seconds == HOUR / 2 + AWAY
    clock.now = 23.5 * HOUR  # midnight: it opens again
    assert clock.ask(1, 1, [0], 100.0).accepted.tolist() == [0]
    assert clock.now == 23.5 * HOUR


def test_only_members_that_are_online_are_present() -> None:
    made = worlds.merchants(
        *[1.0] * 4,
        hours=np.array([24.0, 8.0, 24.0, 24.0]),
        joins=np.array([0.0, 0.0, HOUR, 0.0]),
        leaves=np.array([np.inf, np.inf, np.inf, 9 * HOUR]),
    )
    clock = worlds.timeline(made)
    assert clock.present().tolist() == [0, 1, 3]
    clock.now = 10 * HOUR
    assert clock.present().tolist() == [0, 2]


def test_a_round_waits_for_enough_members_and_not_for_ever() -> None:
    clock = worlds.timeline(worlds.merchants(1.0, 1.0, joins=np.array([0.0, 50.0])))
    assert not clock.wait(2, 20.0)
    assert clock.wait(2, 100.0)
    assert clock.now == 50.0


def test_messages_take_the_time_that_the_lines_need() -> None:
    made = worlds.merchants(10.0, down=np.array([1e-6]), up=np.array([4e-6]), latency=np.array([0.5]))
    clock = worlds.timeline(made)  # a megabyte: 1 s down, 4 s up, and twice half a second
    assert clock.ask(1, 0, [0], 100.0).seconds == pytest.approx(16.0)


def test_merchants_share_the_coordinators_line() -> None:
    clock = worlds.timeline(worlds.merchants(10.0, 10.0), megabits=8.0)  # a megabyte a second for both
    assert clock.ask(1, 0, [0, 1], 100.0).seconds == pytest.approx(2.0 + 10.0 + 2.0)


def test_an_answer_is_held_back_to_a_multiple_of_the_public_moment() -> None:
    clock = worlds.timeline(worlds.merchants(25.0, held=np.array([20.0])))
    assert clock.ask(1, 0, [0], 100.0).seconds == 40.0


def test_nobody_asked_ends_at_once() -> None:
    assert worlds.timeline(worlds.merchants(1.0)).ask(1, 0, [], 100.0).seconds == 0.0


def test_the_pauses_are_those_of_the_coordinators_grid() -> None:
    assert len(PAUSES) == 1 + ASKED_AGAIN[Refusal.BUSY]
    assert PAUSES.tolist() == [0.0, 2.0, 6.0, 14.0, 30.0, 60.0, 90.0, 120.0, 150.0]
    assert StreamingGrid.__init__.__kwdefaults__["first_pause"] == clocks.FIRST_PAUSE
