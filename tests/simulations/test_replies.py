"""Replies made quickly are those that Flower's own constructors make."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from shared_model.protocol import ARRAYS, REPORT, Report
from simulations.in_process import InProcessGrid
from simulations.replies import reply_to

SENT = {"w": np.ones((2, 3), np.float32), "b": np.zeros(0, np.float16)}
SAID = Report(lineage="first", round=3, ledger="ab")


@pytest.fixture
def question():
    grid = InProcessGrid(lambda message, context: message, {"anna": {}})
    message = grid.create_message(RecordDict(), "train", grid.node_ids["anna"], "1")
    grid.push_messages([message])
    return message


def by_flower(question):
    arrays = ArrayRecord({name: Array(array) for name, array in SENT.items()})
    return Message(RecordDict({ARRAYS: arrays, REPORT: ConfigRecord(SAID.to_mapping())}), reply_to=question)


def test_a_reply_holds_what_flowers_own_would_hold(question):
    made = reply_to(question, SAID, dict(SENT))
    assert made.content == by_flower(question).content
    assert made.metadata.reply_to_message_id == question.metadata.message_id


def test_flower_reads_the_same_bytes_from_it(question):
    assert reply_to(question, SAID, dict(SENT)).content.object_id == by_flower(question).content.object_id


def test_arrays_are_let_go_while_a_reply_is_made(question):
    arrays = dict(SENT)
    reply_to(question, SAID, arrays)
    assert not arrays


def test_two_replies_share_no_record(question):
    first, second = reply_to(question, SAID, dict(SENT)), reply_to(question, SAID, {})
    first.content[REPORT]["round"] = 4
    assert second.content[REPORT]["round"] == 3
    assert not second.content[ARRAYS]
