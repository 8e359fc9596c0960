"""Flower's grids, one reply at a time.

Flower's own grid looks for replies every three seconds and collects all of them in a list. This wrapper uses
only the public push and pull, looks more often, and hands replies on as they come.
"""

import time
from collections.abc import Iterable, Iterator

from flwr.app import Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

_TOGETHER = 8
"""Replies pulled, and so held in memory, at a time."""


class StreamingGrid(Grid):
    """Another grid, whose `send_and_receive` yields.

    Guarantee: no more than eight replies are held at a time (`tests/server/test_streaming.py`).
    """

    def __init__(self, grid: Grid, *, poll_seconds: float = 0.3) -> None:
        """Wrap `grid`; look for replies every `poll_seconds` while none arrives."""
        self._grid, self._poll_seconds = grid, poll_seconds

    @property
    def run(self) -> Run:
        """The wrapped grid's run."""
        return self._grid.run

    def set_run(self, run: Run) -> None:
        """Set the wrapped grid's run."""
        self._grid.set_run(run)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to a node."""
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the nodes that can be reached."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the nodes that can be reached."""
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have arrived."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Send messages and yield their replies in the order in which they arrive.

        Args:
            messages: To send; they go out with the first reply that is asked for.
            timeout: Seconds from sending after which no more replies are waited for; None for no limit.
        """
        waiting = [identity for identity in self._grid.push_messages(list(messages)) if identity]
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while waiting:
            answered = set()
            for first in range(0, len(waiting), _TOGETHER):
                for reply in self._grid.pull_messages(waiting[first : first + _TOGETHER]):
                    answered.add(reply.metadata.reply_to_message_id)
                    yield reply
                    del reply
            waiting = [identity for identity in waiting if identity not in answered]
            if waiting and time.monotonic() >= end:
                return
            if not answered:
                time.sleep(self._poll_seconds)
