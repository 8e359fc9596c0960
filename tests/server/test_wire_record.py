"""Every reply that reaches the coordinator is written down, whatever is in it and whatever becomes of it."""

import gc
import weakref

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from server import wire, wire_record
from server.coordinator import train
from server.wire_record import RECORD, line_of, recorded
from shared_model import journal
from shared_model.errors import StateError
from shared_model.protocol import Refusal
from tests.server.fakes import answer, arrays, make_federation, make_grid, moves, roster_of, settings_in


def run(directory, behaviours, **terms):
    grid = make_grid(behaviours)
    with recorded(grid, directory, durable=False) as recording:
        return train(
            recording,
            make_federation(**terms),
            arrays(0.0),
            settings=settings_in(directory),
            roster=roster_of(grid),
            moved_by={},
        )


def lines(directory):
    return journal.read(directory / RECORD)


def reply_with(**records):
    question = Message(RecordDict(), dst_node_id=1001, message_type="train")
    make_grid({})  # says which server this process is; without it no message can be made
    return Message(RecordDict(records), reply_to=question)


def test_a_reply_is_written_down_with_everything_that_measures_it(tmp_path):
    run(tmp_path, {"alba": moves(1.0)})
    [line] = lines(tmp_path)
    array = line["records"]["arrays"]["arrays"]["w"]
    assert (line["type"], line["merchant"], line["lineage"], line["round"]) == ("train", "alba", "first", 1)
    assert array == {"bytes": 128 + 3 * 4, "dtype": "float32", "encoding": "numpy.ndarray", "shape": [3]}
    assert line["records"]["report"] == {
        "kind": "config",
        "content": {"version": 3, "lineage": "first", "round": 1, "ledger": ""},
    }


def test_every_round_of_every_merchant_has_its_line(tmp_path):
    run(tmp_path, {"alba": moves(1.0), "bruno": moves(2.0)}, rounds=2)
    assert [(line["merchant"], line["round"]) for line in lines(tmp_path)] == [
        ("alba", 1), ("bruno", 1), ("alba", 2), ("bruno", 2),
    ]  # fmt: skip


def test_one_that_is_refused_is_written_down_too(tmp_path):
    behaviours = {"alba": moves(1.0), "bruno": lambda q: answer(q, arrays(9.0, names=("stowaway",)))}
    run(tmp_path, behaviours)
    assert list(lines(tmp_path)[1]["records"]["arrays"]["arrays"]) == ["stowaway"]


def test_of_an_error_the_code_is_kept_and_how_much_text_came_with_it(tmp_path):
    def refuses(question):
        return Message(Error(int(Refusal.BUDGET), "Ms Rossi"), reply_to=question)

    run(tmp_path, {"alba": moves(1.0), "bruno": refuses})
    assert lines(tmp_path)[1]["error"] == {"code": 1013, "letters": 8}
    assert "Rossi" not in (tmp_path / RECORD).read_text()


def test_metrics_are_kept_whole():
    line = line_of(reply_with(metrics=MetricRecord({"loss": 0.5, "losses": [1, 2]})))
    assert line["records"]["metrics"] == {"kind": "metrics", "content": {"loss": 0.5, "losses": [1, 2]}}


def test_settings_are_kept_whole_up_to_a_length():
    line = line_of(reply_with(notes=ConfigRecord({"short": "x", "raw": b"\x01", "long": "y" * 5000})))
    assert line["records"]["notes"]["content"] == {
        "short": "x",
        "raw": "01",
        "long": {"first": "y" * 1000, "letters": 5000},
    }


def test_an_array_that_holds_another_than_it_declares_shows_both():
    honest = Array(np.ones(3, np.float32))
    posing = Array("float32", (3,), honest.stype, Array(np.ones(5, np.float64)).data)
    found = line_of(reply_with(arrays=ArrayRecord({"w": posing})))["records"]["arrays"]["arrays"]["w"]
    assert (found["shape"], found["dtype"]) == ([5], "float64")
    assert found["declared"] == {"shape": [3], "dtype": "float32"}


@pytest.mark.parametrize("spoil", [lambda data: data + b"secret", lambda data: data[:-1], lambda data: b""])
def test_bytes_that_hold_no_array_say_so(spoil):
    honest = Array(np.ones(3, np.float32))
    spoilt = Array("float32", (3,), honest.stype, spoil(honest.data))
    found = line_of(reply_with(arrays=ArrayRecord({"w": spoilt})))["records"]["arrays"]["arrays"]["w"]
    assert found["unreadable"] is True
    assert found["bytes"] == len(spoilt.data)


def test_two_answers_have_one_digest_where_they_are_the_same():
    one, same, other = (
        line_of(reply_with(arrays=wire.pack(arrays(value))))["records"]["arrays"]["digest"]
        for value in (1.0, 1.0, 2.0)
    )
    assert one == same != other


def test_only_one_reply_is_alive_at_a_time(tmp_path):
    alive = weakref.WeakSet()

    def act(question):
        gc.collect()
        assert len(alive) == 0
        reply = answer(question, arrays(1.0))
        alive.add(reply)
        return reply

    run(tmp_path, {f"merchant-{number}": act for number in range(4)})
    assert len(lines(tmp_path)) == 4


def test_a_line_that_was_taken_out_is_noticed(tmp_path):
    run(tmp_path, {"alba": moves(1.0), "bruno": moves(1.0)})
    path = tmp_path / RECORD
    path.write_text(path.read_text().split("\n", 1)[1])
    with pytest.raises(StateError), recorded(make_grid({}), tmp_path):
        pass


def test_a_run_through_it_gives_the_same_arrays(tmp_path):
    behaviours = {"alba": moves(1.0), "bruno": moves(3.0)}
    assert run(tmp_path, behaviours, rounds=2)["w"].tolist() == [4.0, 4.0, 4.0]


def test_replies_that_are_pulled_are_written_down_too(tmp_path):
    grid = make_grid({"alba": lambda question: Message(RecordDict(), reply_to=question)})
    with recorded(grid, tmp_path, durable=False) as recording:
        assert isinstance(recording, wire_record.RecordingGrid)
        sent = recording.push_messages([Message(RecordDict(), grid.node_ids["alba"], "train")])
        assert len(list(recording.pull_messages(sent))) == 1
    assert len(lines(tmp_path)) == 1
