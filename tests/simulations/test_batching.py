"""Merchants whose questions travel together answer as if each had a node of its own."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from server.streaming import StreamingGrid
from simulations.batching import BatchedGrid, packed, unpacked, worker_app
from simulations.in_process import InProcessGrid

NAMES = ("anna", "bert", "cora", "dora", "emil")
SENT = ArrayRecord({"w": Array(np.arange(3, dtype=np.float32))})


def merchants():
    app = ClientApp()

    @app.train()
    def train(message, context):
        name = str(context.node_config["name"])
        if name == "cora":
            return Message(Error(1009), reply_to=message)
        told = message.content["told"]["word"]
        heard = ConfigRecord(
            {"name": name, "word": told, "sum": float(message.content["arrays"]["w"].numpy().sum())}
        )
        return Message(RecordDict({"heard": heard}), reply_to=message)

    return InProcessGrid(app, {name: {"name": name} for name in NAMES})


@pytest.fixture
def made():
    """The merchants' grid, and the one that a coordinator sees, with two workers between."""
    inner, seen = merchants(), []

    def grid():
        return inner

    app = worker_app(grid)

    def counted(message, context):
        seen.append(message)
        return app(message=message, context=context)

    workers = InProcessGrid(counted, {"first": {}, "second": {}})
    ids = {name: position for position, name in enumerate(NAMES, start=1)}
    return StreamingGrid(BatchedGrid(workers, len(NAMES)), poll_seconds=0.0, asked_again={}), ids, seen


def questions(grid, ids, names=NAMES):
    content = {
        name: RecordDict({"arrays": SENT, "told": ConfigRecord({"word": f"hello {name}"})}) for name in names
    }
    return [grid.create_message(content[name], "train", ids[name], "1") for name in names]


def heard(replies):
    return {r.metadata.src_node_id: dict(r.content["heard"]) for r in replies if not r.has_error()}


def test_every_merchant_gets_its_own_question_and_the_common_arrays(made):
    grid, ids, _ = made
    found = heard(grid.send_and_receive(questions(grid, ids)))
    assert found == {
        ids[name]: {"name": name, "word": f"hello {name}", "sum": 3.0} for name in NAMES if name != "cora"
    }


def test_a_merchant_that_refuses_costs_nobody_else_the_round(made):
    grid, ids, _ = made
    [refusal] = [r for r in grid.send_and_receive(questions(grid, ids)) if r.has_error()]
    assert (refusal.metadata.src_node_id, refusal.error.code) == (ids["cora"], 1009)


def test_questions_are_spread_over_the_workers_and_replies_name_them(made):
    grid, ids, seen = made
    asked = questions(grid, ids)
    answered = {r.metadata.reply_to_message_id for r in grid.send_and_receive(asked)}
    assert len(seen) == 2
    assert answered == {q.metadata.message_id for q in asked}


def test_arrays_that_all_have_travel_once():
    grid = merchants()
    content = packed(questions(grid, grid.node_ids))
    assert sum(isinstance(record, ArrayRecord) for record in content.values()) == 1


def test_what_was_packed_is_unpacked():
    grid = merchants()
    asked = questions(grid, grid.node_ids)
    assert unpacked(packed(asked)) == [(q.metadata.dst_node_id, q.content) for q in asked]


def test_other_arrays_travel_beside_the_common_ones():
    grid = merchants()
    asked = questions(grid, grid.node_ids, ("anna", "bert"))
    asked[1].content["arrays"] = ArrayRecord({"w": Array(np.zeros(3, np.float32))})
    assert unpacked(packed(asked)) == [(q.metadata.dst_node_id, q.content) for q in asked]


def test_where_a_worker_fails_all_of_its_merchants_do():
    def broken(message, context):
        raise OSError("the worker is gone")

    workers = InProcessGrid(broken, {"first": {}})
    grid = StreamingGrid(BatchedGrid(workers, 2), poll_seconds=0.0, asked_again={})
    asked = [grid.create_message(RecordDict(), "train", node, "1") for node in (1, 2)]
    assert [reply.error.code for reply in grid.send_and_receive(asked)] == [2, 2]


def test_without_a_worker_no_merchant_can_be_reached():
    workers = InProcessGrid(worker_app(merchants), {})
    assert BatchedGrid(workers, 2).get_node_ids() == []
