"""What a journal tells a person."""

from typing import Any

from server.deployment.history import History, RoundHistory, told
from server.deployment.running import closed_round


def event(name: str, **facts: Any) -> dict[str, Any]:
    return {"event": name, **facts}


STARTED = event("run_started", rounds=3, fingerprint="f" * 64)
OPENED = event("round_opened", round=1, asked=["acme", "bravo", "coral"])
REFUSED = event("reply_refused", round=1, merchant="bravo", reason="BUDGET")
MISSING = event("reply_missing", round=1, merchant="coral")
CLOSED = event("round_closed", round=1, accepted=["acme"], attempt=1, seconds=2.5)


def test_a_closed_round_says_who_was_there() -> None:
    history = told([STARTED, OPENED, REFUSED, MISSING, CLOSED])
    assert history == History(
        rounds=3,
        done=1,
        last=RoundHistory(
            number=1,
            asked=("acme", "bravo", "coral"),
            accepted=("acme",),
            refused={"bravo": "BUDGET"},
            missing=("coral",),
            seconds=2.5,
        ),
    )
    assert closed_round(history) == "round 1 of 3: 1 accepted; refused bravo (BUDGET); missing coral; 2.5 s"


def test_another_attempt_begins_afresh() -> None:
    history = told([STARTED, OPENED, REFUSED, MISSING, OPENED])
    assert history.open == RoundHistory(number=1, asked=("acme", "bravo", "coral"))
    assert history.done == 0


def test_a_run_that_stopped_says_why_until_it_goes_on() -> None:
    stopped = told([STARTED, event("run_stopped", reason="no quorum")])
    assert stopped.stopped == "no quorum"
    assert told([event("resumed", round=0)], stopped).stopped == ""


def test_a_run_is_finished_when_its_release_was_offered() -> None:
    finished = told([STARTED, OPENED, CLOSED, event("run_finished", round=1)])
    assert not finished.is_finished
    assert told([event("released", members={"acme": "adopted"})], finished).is_finished


def test_a_release_that_nobody_heard_of_is_one() -> None:
    assert told([event("released", members={})]).is_finished


def test_unknown_events_and_replies_of_nobody_change_nothing() -> None:
    assert told([event("checkpoint", round=1), event("reply_refused", round=1, merchant="", reason="x")]) == (
        History()
    )
