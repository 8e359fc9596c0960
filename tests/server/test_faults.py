"""Merchants that fail or misbehave: the round completes, they are named, and nothing of theirs gets in."""

import threading
import time

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from shared_model.errors import QuorumNotReached
from shared_model.protocol import Refusal
from simulations.in_process import InProcessGrid
from tests.server.fakes import answer, arrays, events, make_app, make_federation, make_grid, moves, run

GOOD = {"alba": moves(1.0), "bruno": moves(3.0)}
"""Their mean is 2."""


def extra_array(question):
    return answer(question, {**arrays(9.0), "heads.late.own.weight": np.ones(2, np.float32)})


def extra_record(question):
    reply = answer(question, arrays(9.0))
    reply.content["metrics"] = MetricRecord({"loss": 0.5})
    return reply


def without_report(question):
    reply = answer(question, arrays(9.0))
    del reply.content["report"]
    return reply


def report_with_more(question):
    return answer(question, arrays(9.0), shoppers=123)


def raises(question):
    raise RuntimeError("row 17 of orders.csv: Ms Rossi")


def says(code, reason="Ms Rossi"):
    return lambda question: Message(Error(code, reason), reply_to=question)


def sends(values):
    return lambda question: answer(question, values)


NAN, INFINITE = arrays(9.0), arrays(9.0)
NAN["w"][1], INFINITE["w"][2] = np.nan, -np.inf

FAULTS = {
    "raises": (raises, "CLIENT_APP_RAISED"),
    "refuses": (says(Refusal.ROUND), "ROUND"),
    "invents a code": (says(4711), "error 4711"),
    "sends its head": (extra_array, "unknown array heads.late.own.weight"),
    "leaves an array out": (sends({}), "missing array w"),
    "sends another shape": (sends({"w": np.ones((3, 1), np.float32)}), "wrong shape (3, 1) of w"),
    "sends another type": (sends({"w": np.ones(3)}), "wrong type float64 of w"),
    "sends another byte order": (sends({"w": np.ones(3, ">f4")}), "wrong type >f4 of w"),
    "sends a NaN": (sends(NAN), "not finite w"),
    "sends an infinity": (sends(INFINITE), "not finite w"),
    "answers another round": (lambda q: answer(q, arrays(9.0), round=0), "another round 0"),
    "answers another lineage": (lambda q: answer(q, arrays(9.0), lineage="old"), "another lineage"),
    "speaks another version": (lambda q: answer(q, arrays(9.0), version=0), "another version"),
    "adds a metrics record": (extra_record, "unknown record metrics"),
    "adds a fact to its report": (report_with_more, "unreadable report"),
    "sends no report": (without_report, "missing record report"),
    "sends nothing": (lambda q: Message(RecordDict(), reply_to=q), "missing record arrays"),
    "sends the wrong kind of record": (
        lambda q: Message(RecordDict({"arrays": ConfigRecord(), "report": ConfigRecord()}), reply_to=q),
        "missing record arrays",
    ),
}


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_bad_reply_is_named_and_does_not_enter(tmp_path, fault, reason):
    released = run(tmp_path, {**GOOD, "coral": fault}, make_federation())
    assert released["w"].tolist() == [2.0, 2.0, 2.0]
    assert events(tmp_path, "reply_refused") == [{"round": 1, "merchant": "coral", "reason": reason}]
    assert events(tmp_path, "reply_missing") == []


@pytest.mark.parametrize("fault", [raises, says(Refusal.FAILED)], ids=["raises", "refuses"])
def test_the_text_of_an_error_is_not_kept(tmp_path, fault):
    run(tmp_path, {**GOOD, "coral": fault}, make_federation())
    assert "Rossi" not in (tmp_path / "journal.jsonl").read_text()


def test_a_merchant_that_hangs_is_missing_and_stops_nobody(tmp_path):
    freed = threading.Event()

    def hangs(question):
        freed.wait(30)
        return answer(question, arrays(9.0))

    began = time.monotonic()
    released = run(tmp_path, {"coral": hangs, **GOOD}, make_federation(deadline_seconds=0.5))
    freed.set()
    assert time.monotonic() - began < 10
    assert released["w"].tolist() == [2.0, 2.0, 2.0]
    assert events(tmp_path, "reply_missing") == [{"round": 1, "merchant": "coral"}]


def test_a_merchant_that_is_offline_is_missing(tmp_path):
    grid = make_grid({**GOOD, "coral": moves(9.0)})
    grid.offline.add("coral")
    assert run(tmp_path, {}, make_federation(), grid=grid)["w"][0] == 2.0
    assert events(tmp_path, "reply_missing") == [{"round": 1, "merchant": "coral"}]


class Repeating(InProcessGrid):
    """Delivers every reply twice."""

    def send_and_receive(self, messages, *, timeout=None):
        for reply in super().send_and_receive(messages, timeout=timeout):
            yield reply
            yield reply


def test_a_reply_that_comes_twice_counts_once(tmp_path):
    behaviours = {"alba": moves(1.0), "bruno": moves(3.0)}
    grid = Repeating(make_app(behaviours), {name: {"name": name} for name in behaviours})
    assert run(tmp_path, {}, make_federation(), grid=grid)["w"][0] == 2.0
    assert [line["reason"] for line in events(tmp_path, "reply_refused")] == ["second reply"] * 2


class Forging(InProcessGrid):
    """Adds a reply to a question that was never asked."""

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        yield from super().send_and_receive(messages, timeout=timeout)
        messages[0].metadata.__dict__["_message_id"] = "never sent"
        yield answer(messages[0], arrays(9.0))


def test_a_reply_that_nobody_asked_for_is_refused(tmp_path):
    grid = Forging(make_app(GOOD), {name: {"name": name} for name in GOOD})
    assert run(tmp_path, {}, make_federation(), grid=grid)["w"][0] == 2.0
    assert events(tmp_path, "reply_refused") == [
        {"round": 1, "merchant": "", "reason": "nobody asked for it"}
    ]


class Impersonating(InProcessGrid):
    """Delivers the first merchant's reply under the second one's node id."""

    def send_and_receive(self, messages, *, timeout=None):
        first, *rest = super().send_and_receive(messages, timeout=timeout)
        first.metadata.__dict__["_src_node_id"] = rest[0].metadata.src_node_id
        yield first
        yield from rest


def test_a_reply_under_another_name_than_the_one_asked_is_refused(tmp_path):
    grid = Impersonating(make_app(GOOD), {name: {"name": name} for name in GOOD})
    assert run(tmp_path, {}, make_federation(), grid=grid)["w"][0] == 3.0
    assert events(tmp_path, "reply_missing") == [{"round": 1, "merchant": "alba"}]


class LosingNodes(InProcessGrid):
    """Answers for the last merchant as a SuperLink does for a node that went away: as itself, node 1."""

    def send_and_receive(self, messages, *, timeout=None):
        *others, last = list(messages)
        yield from super().send_and_receive([*others, last], timeout=timeout)

    def _deliver(self, message, timeout):
        reply = super()._deliver(message, timeout)
        if message.metadata.dst_node_id == max(self.node_ids.values()):
            reply = Message(Error(5, "Node Unavailable"), reply_to=message)
            reply.metadata.__dict__["_src_node_id"] = 1
        return reply


def test_an_error_that_the_superlink_makes_is_put_down_to_the_lost_merchant(tmp_path):
    behaviours = {**GOOD, "coral": moves(9.0)}
    grid = LosingNodes(make_app(behaviours), {name: {"name": name} for name in behaviours})
    assert run(tmp_path, {}, make_federation(), grid=grid)["w"][0] == 2.0
    assert events(tmp_path, "reply_refused") == [
        {"round": 1, "merchant": "coral", "reason": "NODE_UNAVAILABLE"}
    ]


def test_a_sender_cannot_flood_the_journal(tmp_path):
    floods = sends({**arrays(9.0), "x" * 10_000: np.ones(1, np.float32)})
    run(tmp_path, {**GOOD, "coral": floods}, make_federation())
    assert len(events(tmp_path, "reply_refused")[0]["reason"]) < 300


def test_without_a_quorum_the_run_stops_and_the_last_checkpoint_stands(tmp_path):
    behaviours = dict(GOOD)
    federation = make_federation(rounds=3, attempts=2)

    def break_all(summary):
        behaviours.update(alba=raises, bruno=raises)

    grid = make_grid(behaviours)
    with pytest.raises(
        QuorumNotReached, match="Round 2 got 0 usable replies of 2 merchants in 2 attempts, 1"
    ):
        run(tmp_path, {}, federation, grid=grid, on_round=break_all)
    assert len(events(tmp_path, "reply_refused")) == 4
    assert events(tmp_path, "round_failed") == [{"round": 2, "asked": 2, "accepted": 0, "attempts": 2}]
    assert [line["round"] for line in events(tmp_path, "checkpoint")] == [0, 1]

    behaviours.update(GOOD)
    assert run(tmp_path, {}, federation, grid=grid)["w"][0] == 6.0
    assert events(tmp_path, "resumed") == [{"round": 1}]


def test_a_round_that_missed_its_quorum_is_asked_again_with_the_same_arrays(tmp_path):
    asked = []

    def second_time_lucky(question):
        asked.append(question.content["instruction"])
        return moves(1.0)(question) if len(asked) > 1 else raises(question)

    federation = make_federation(attempts=2)
    summaries = []
    run(tmp_path, {"alba": second_time_lucky}, federation, on_round=summaries.append)
    assert dict(asked[0]) == dict(asked[1])
    assert summaries[0].attempt == 2


def test_with_nobody_to_ask_there_is_no_quorum(tmp_path):
    with pytest.raises(QuorumNotReached, match="0 usable replies of 0 merchants"):
        run(tmp_path, {}, make_federation(quorum=0.1), grid=make_grid({}))
