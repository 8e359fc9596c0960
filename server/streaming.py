"""Flower's grids, one reply at a time, asking again whoever was lost.

Flower's own grid looks for replies every three seconds, collects all of them in a list, and never resends a
message. This wrapper uses only the public push and pull, looks more often, and hands replies on as they come.
Besides the types of the interface, its one use of private API is the id that a late reply answers.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import httpx
from flwr.app import Error, Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from shared_model.protocol import Refusal

logger = logging.getLogger(__name__)

_TOGETHER = 8
"""Replies pulled, and so held in memory, at a time."""

_REPLY_UNAVAILABLE, _NODE_UNAVAILABLE, _CLIENT_APP_CRASHED = 4, 5, 8

ASKED_AGAIN: Mapping[int, int] = {
    _NODE_UNAVAILABLE: 2,
    _CLIENT_APP_CRASHED: 2,
    Refusal.UNREACHABLE: 3,
    Refusal.BUSY: 8,
    Refusal.PACE: 8,
}
"""Error code -> how often a merchant is asked the same again in one round. All of them pass by themselves:
the process that died is started again, the work at hand ends."""

FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0
"""Seconds before a question goes out again for the first time; doubled each time, up to the longest."""
PATIENCE = 60.0
"""Seconds that a lost node has to come back; Flower takes as long to let a restarted one in again."""


@dataclass
class _Question:
    """A message, and how often it went out.

    Attributes:
        message: As it is sent.
        identity: Under which the caller knows it.
        tries: Times that it was sent again.
    """

    message: Message
    identity: str
    tries: int = 0


@dataclass
class _Lost:
    """A question that failed, waiting to go out again.

    Attributes:
        question: Which.
        reply: The error that answered it, for the caller when time is up.
        due: When it goes out again, on the monotonic clock.
        given_up: When it does not any more, because its node is still away.
    """

    question: _Question
    reply: Message
    due: float
    given_up: float


class WrappedGrid(Grid):
    """A grid that hands everything on to another one, for classes that change a part of it."""

    def __init__(self, grid: Grid) -> None:
        """Wrap `grid`."""
        self._grid = grid

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
    ) -> Iterable[Message]:
        """Send messages and return their replies."""
        return self._grid.send_and_receive(messages, timeout=timeout)


class StreamingGrid(WrappedGrid):
    """Another grid, whose `send_and_receive` yields.

    Guarantees:
        * No more than eight replies are held at a time.
        * A question that failed for a passing reason (`ASKED_AGAIN`) goes out again, with the same content,
          once its node is online; the caller sees one reply, under the id of the first question.
        * A reply that cannot be read, or that names a question nobody asked, costs its sender the round and
          nobody else: Flower believes what a node wrote into its reply, and stops at what it cannot read.
        (`tests/server/test_streaming.py`)
    """

    def __init__(
        self,
        grid: Grid,
        *,
        poll_seconds: float = 0.3,
        asked_again: Mapping[int, int] = ASKED_AGAIN,
        first_pause: float = FIRST_PAUSE,
        patience: float = PATIENCE,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Wrap `grid`.

        Args:
            grid: Reaches the merchants.
            poll_seconds: Replies are looked for so often while none arrives.
            asked_again: Error code -> how often the same question goes out again.
            first_pause: Seconds before it does for the first time; doubles each time, up to half a minute.
            patience: Seconds after which a question is given up when its node is still away.
            wake: Called after messages were sent, to tell whoever holds the nodes' polls.
        """
        super().__init__(grid)
        self._poll_seconds = poll_seconds
        self._asked_again, self._wake = asked_again, wake
        self._first_pause, self._patience = first_pause, patience
        self._together = _TOGETHER

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Send messages and yield their replies in the order in which they arrive.

        Args:
            messages: To send; they go out with the first reply that is asked for.
            timeout: Seconds from sending after which no more replies are waited for; None for no limit.
        """
        questions = list(messages)
        waiting = {
            identity: _Question(message, identity)
            for identity, message in zip(self._push(questions), questions, strict=True)
            if identity
        }
        end = float("inf") if timeout is None else time.monotonic() + timeout
        lost: list[_Lost] = []
        while waiting or lost:
            answered = False
            for identities in _slices(list(waiting), self._together):
                for reply in self._pulled(identities, waiting, lost):
                    answered = True
                    question = waiting.pop(reply.metadata.reply_to_message_id)
                    if question.tries < self._asked_again.get(_error(reply), 0):
                        lost.append(self._lost(question, reply))
                    else:
                        yield _under(question.identity, reply)
                    del reply
            now = time.monotonic()
            lost = self._sent_again(lost, waiting) if now < end else lost
            for failed in [failed for failed in lost if now >= min(end, failed.given_up)]:
                lost.remove(failed)
                yield _under(failed.question.identity, failed.reply)
            if now >= end:
                return
            if not answered and (waiting or lost):
                time.sleep(self._poll_seconds)

    def _pulled(
        self, identities: list[str], waiting: dict[str, _Question], lost: list[_Lost]
    ) -> Iterator[Message]:
        """Yield the replies to some questions; each answers one that waits.

        Where one of several replies is odd, nobody knows whose it was, and the others may be lost with it. So
        all of them are asked again, and from then on one at a time.
        """
        try:
            for reply in self._grid.pull_messages(identities):
                if reply.metadata.reply_to_message_id not in waiting:
                    raise ValueError("a reply to a question that nobody asked")
                yield reply
        except httpx.HTTPError:  # the SuperLink is gone, and the run with it
            raise
        except Exception as error:
            logger.warning("a reply cannot be read: %s", type(error).__name__)
            alone, self._together = len(identities) == 1, 1
            for identity in [identity for identity in identities if identity in waiting]:
                failed = _under(
                    identity, Message(Error(_REPLY_UNAVAILABLE), reply_to=waiting[identity].message)
                )
                if alone:
                    yield failed
                else:
                    lost.append(self._lost(waiting.pop(identity), failed))

    def _push(self, messages: list[Message]) -> list[str]:
        identities = list(self._grid.push_messages(messages))
        self._wake()
        return identities

    def _lost(self, question: _Question, reply: Message) -> _Lost:
        due = time.monotonic() + min(LONGEST_PAUSE, self._first_pause * 2.0**question.tries)
        return _Lost(question, reply, due, due + self._patience)

    def _sent_again(self, lost: list[_Lost], waiting: dict[str, _Question]) -> list[_Lost]:
        """Send what is due and can be sent; return what still has to wait."""
        now = time.monotonic()
        if not any(failed.due <= now for failed in lost):
            return lost
        online, later = set(self._grid.get_node_ids()), []
        for failed in lost:
            first = failed.question.message
            node = first.metadata.dst_node_id
            if failed.due > now or node not in online:
                later.append(failed)
                continue
            again = Message(
                first.content,
                node,
                first.metadata.message_type,
                group_id=first.metadata.group_id,
                ttl=first.metadata.ttl,
            )
            for identity in filter(None, self._push([again])):
                waiting[identity] = _Question(again, failed.question.identity, failed.question.tries + 1)
        return later


def _slices(identities: list[str], size: int) -> Iterator[list[str]]:
    return (identities[first : first + size] for first in range(0, len(identities), size))


def _error(reply: Message) -> int:
    return reply.error.code if reply.has_error() else 0


def _under(identity: str, reply: Message) -> Message:
    """Return the reply as the answer to the question that the caller knows."""
    reply.metadata.__dict__["_reply_to_message_id"] = identity
    return reply
