import time

from flwr.app import Message, MessageType, RecordDict

from server.streaming import StreamingGrid
from simulations.in_process import InProcessGrid
from tests.server.fakes import make_app, make_federation, make_grid, moves, run


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
