import time

import httpx
import pytest
from flwr.app import ConfigRecord, Error, Message, MessageType, RecordDict

from server import wire
from server.streaming import StreamingGrid
from shared_model.protocol import Instruction, Refusal
from simulations.in_process import InProcessGrid
from tests.server.fakes import arrays, make_app, make_federation, make_grid, moves, run


class Slow(InProcessGrid):
    """Has a reply only when it was looked for a second time, and never one for the node `lost`."""

    def __init__(self, *arguments, lost=""):
        super().__init__(*arguments)
        self.lost, self.looked, self.pulled = self.node_ids.get(lost), set(), []

    def pull_messages(self, message_ids):
        ready = [
            i for i in message_ids if i in self.looked and self._pushed[i].metadata.dst_node_id != self.lost
        ]
        self.looked |= set(message_ids)
        self.pulled.append(len(message_ids))
        return super().pull_messages(ready)


def make_slow(count, **options):
    behaviours = {f"merchant-{i}": moves(1.0) for i in range(count)}
    return Slow(make_app(behaviours), {name: {"name": name} for name in behaviours}, **options)


def questions(grid):
    return [Message(RecordDict(), node, MessageType.TRAIN) for node in grid.get_node_ids()]


def test_every_reply_arrives_once():
    grid = make_slow(20)
    replies = list(StreamingGrid(grid, poll_seconds=0.0).send_and_receive(questions(grid)))
    assert [reply.metadata.src_node_id for reply in replies] == list(grid.get_node_ids())


def test_no_more_than_eight_replies_are_pulled_at_a_time():
    grid = make_slow(20)
    list(StreamingGrid(grid, poll_seconds=0.0).send_and_receive(questions(grid)))
    assert max(grid.pulled) == 8


def test_a_lost_node_is_waited_for_until_the_deadline():
    grid = make_slow(3, lost="merchant-1")
    began = time.monotonic()
    replies = list(StreamingGrid(grid, poll_seconds=0.01).send_and_receive(questions(grid), timeout=0.1))
    assert len(replies) == 2
    assert 0.1 <= time.monotonic() - began < 5


def test_a_run_through_it_gives_the_same_arrays(tmp_path):
    behaviours = {"alba": moves(1.0), "bruno": moves(3.0)}
    grid = make_grid(behaviours)
    plain = run(tmp_path / "plain", behaviours, make_federation())
    streaming = StreamingGrid(grid)
    streaming.node_ids = grid.node_ids
    assert (
        run(tmp_path / "streamed", {}, make_federation(), grid=streaming)["w"].tolist() == plain["w"].tolist()
    )


def test_it_passes_the_rest_on():
    grid = make_slow(2)
    streaming = StreamingGrid(grid)
    assert list(streaming.get_node_ids()) == list(grid.get_node_ids())
    assert [node.name for node in streaming.get_nodes()] == ["merchant-0", "merchant-1"]
    assert streaming.run.run_id == grid.run.run_id


# --- asking again ---------------------------------------------------------------------------------------


class Flaky(InProcessGrid):
    """Answers with the given error codes first, and then as a merchant does; `away` nodes are not online."""

    def __init__(self, codes, away=()):
        super().__init__(
            make_app({"alba": moves(1.0), "bruno": moves(1.0)}),
            {"alba": {"name": "alba"}, "bruno": {"name": "bruno"}},
        )
        self.codes, self.away, self.asked = {self.node_ids["alba"]: list(codes)}, set(away), []

    def get_node_ids(self):
        return [node for name, node in self.node_ids.items() if name not in self.away]

    def pull_messages(self, message_ids):
        for identity in [i for i in message_ids if i in self._pushed]:
            question = self._pushed[identity]
            node = question.metadata.dst_node_id
            self.asked.append(node)
            if self.codes.get(node):
                del self._pushed[identity]
                yield Message(Error(self.codes[node].pop(0)), reply_to=question)
            else:
                yield from super().pull_messages([identity])


def impatient(grid, **options):
    return StreamingGrid(grid, **{"poll_seconds": 0.001, "first_pause": 0.001, "patience": 5.0, **options})


def sent(grid):
    record = ConfigRecord(Instruction(fingerprint="f", lineage="spring", round=1, digest="d").to_mapping())
    content = RecordDict({"arrays": wire.pack(arrays(0.0)), "instruction": record})
    return [Message(content, node, MessageType.TRAIN) for node in grid.node_ids.values()]


def test_a_merchant_that_was_lost_is_asked_again_and_answers_under_the_first_id():
    grid = Flaky([5, 8])
    asked = sent(grid)
    replies = list(impatient(grid).send_and_receive(asked))
    assert not any(reply.has_error() for reply in replies)
    assert {r.metadata.reply_to_message_id for r in replies} == {m.metadata.message_id for m in asked}
    assert grid.asked.count(grid.node_ids["alba"]) == 3


def test_a_merchant_that_is_lost_for_the_third_time_is_given_up():
    grid = Flaky([5, 5, 5])
    errors = [reply.error.code for reply in impatient(grid).send_and_receive(sent(grid)) if reply.has_error()]
    assert errors == [5]
    assert grid.asked.count(grid.node_ids["alba"]) == 3


@pytest.mark.parametrize("code", [Refusal.FAILED, Refusal.CONFLICT, Refusal.BUDGET, 2])
def test_a_refusal_that_will_not_pass_is_final(code):
    grid = Flaky([int(code)])
    errors = [reply.error.code for reply in impatient(grid).send_and_receive(sent(grid)) if reply.has_error()]
    assert errors == [code]
    assert grid.asked.count(grid.node_ids["alba"]) == 1


def test_a_node_that_stays_away_is_not_waited_for_until_the_deadline():
    grid = Flaky([5], away=["alba"])
    began = time.monotonic()
    replies = list(impatient(grid, patience=0.01).send_and_receive(sent(grid), timeout=60))
    assert [reply.error.code for reply in replies if reply.has_error()] == [5]
    assert time.monotonic() - began < 30


def test_at_the_deadline_the_last_error_is_told():
    grid = Flaky([5])
    replies = list(impatient(grid, first_pause=60.0).send_and_receive(sent(grid), timeout=0.05))
    assert [reply.error.code for reply in replies if reply.has_error()] == [5]


class Odd(Flaky):
    """What `bruno` answers cannot be used; whatever was pulled together with it is lost."""

    def __init__(self, answer):
        super().__init__([])
        self.answer = answer

    def pull_messages(self, message_ids):
        replies = list(super().pull_messages(message_ids))
        return [
            self.answer(reply) if reply.metadata.src_node_id == self.node_ids["bruno"] else reply
            for reply in replies
        ]


def unreadable(reply):
    raise AttributeError("'RecordDict' object has no attribute 'metadata'")


def to_a_question_that_nobody_asked(reply):
    reply.metadata.__dict__["_reply_to_message_id"] = "unheard of"
    return reply


@pytest.mark.parametrize("answer", [unreadable, to_a_question_that_nobody_asked])
def test_an_odd_reply_costs_its_sender_the_round_and_nobody_else(answer):
    grid = Odd(answer)
    asked = sent(grid)
    replies = {r.metadata.reply_to_message_id: r for r in impatient(grid).send_and_receive(asked, timeout=20)}
    alba, bruno = (replies[message.metadata.message_id] for message in asked)
    assert not alba.has_error()
    assert bruno.error.code == 4


def test_a_superlink_that_is_gone_ends_the_run():
    def gone(reply):
        raise httpx.ConnectError("Connection refused")

    grid = Odd(gone)
    with pytest.raises(httpx.ConnectError):
        list(impatient(grid).send_and_receive(sent(grid), timeout=20))


def test_whoever_holds_the_polls_is_told_of_every_sending():
    grid, woken = Flaky([5]), []
    list(impatient(grid, wake=lambda: woken.append(True)).send_and_receive(sent(grid)))
    assert len(woken) == 2
