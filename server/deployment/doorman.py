"""Holds a node's question for work until there is some.

A SuperNode asks every three seconds. Its answer is kept back here for as long as it would be empty, at most
`HOLD_SECONDS`; the ServerApp pokes a socket when it has sent messages. So a message waits for milliseconds
instead of seconds, and an idle node asks three times a minute instead of twenty times.

Guarantees:
    * At most `TOGETHER` questions are at the SuperLink at a time, however many nodes one poke wakes.
    * Without pokes the SuperLink hears of everybody every `TICK_SECONDS`, or of `PER_SECOND` nodes a second
      where there are many.
    * A node is held once: a newer question of the same node sends the older one away before work could be
      handed to a connection that nobody reads any more. A question that the SuperLink did not accept holds
      and sends away nothing.
    (`tests/server/deployment/test_doorman.py`)
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOLD_SECONDS = 20.0
"""Well below the 30 s after which a SuperNode gives up reading."""

TICK_SECONDS = 2.0
PER_SECOND = 25
TOGETHER = 8

_MESSAGES_LIST, _MESSAGE_OBJECT_TREES = 2, 3  # fields of Flower's PullMessagesResponse
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers


@dataclass(frozen=True)
class Answer:
    """What the SuperLink answered.

    Attributes:
        status: HTTP status.
        headers: To be passed on.
        body: Protocol buffers, where the status is 200.
    """

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class _Held:
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    sent_away: bool = False


class Doorman:
    """Knows who is waiting. Lives inside one event loop."""

    def __init__(self, *, hold_seconds: float = HOLD_SECONDS, tick_seconds: float = TICK_SECONDS) -> None:
        self._hold_seconds, self._tick_seconds = hold_seconds, tick_seconds
        self._held: dict[bytes, _Held] = {}
        self._asking = asyncio.Semaphore(TOGETHER)
        self._pokes = 0

    def poke(self) -> None:
        """Ask the SuperLink again for everybody who waits."""
        self._pokes += 1
        for held in self._held.values():
            held.woken.set()

    async def answer(
        self, node: bytes, ask: Callable[[], Awaitable[Answer]], gone: Callable[[], Awaitable[bool]]
    ) -> Answer:
        """Return the SuperLink's answer as soon as there is work in it, or when the time is up.

        Args:
            node: Tells one node from another: the bytes of its question.
            ask: Asks the SuperLink.
            gone: Whether whoever asked has hung up.
        """
        loop, held = asyncio.get_running_loop(), _Held()
        end = loop.time() + self._hold_seconds
        try:
            while True:
                pokes = self._pokes  # before asking: work that comes meanwhile is not missed
                async with self._asking:
                    answer = await ask()
                if answer.status != 200 or has_work(answer.body) or loop.time() >= end or held.sent_away:
                    return answer
                self._hold(node, held)
                if self._pokes == pokes:
                    await self._wait(held, end - loop.time())
                if held.sent_away or await gone():
                    return answer
        finally:
            if self._held.get(node) is held:
                del self._held[node]

    def _hold(self, node: bytes, held: _Held) -> None:
        older = self._held.get(node)
        if older is not None and older is not held:
            older.sent_away = True
            older.woken.set()
        self._held[node] = held

    async def _wait(self, held: _Held, seconds: float) -> None:
        tick = max(self._tick_seconds, len(self._held) / PER_SECOND)
        with suppress(TimeoutError):
            await asyncio.wait_for(held.woken.wait(), max(0.0, min(tick, seconds)))
        held.woken.clear()


def has_work(body: bytes) -> bool:
    """Whether a serialised `PullMessagesResponse` holds messages; what cannot be read counts as work.

    >>> has_work(b""), has_work(bytes([0x0A, 2, 8, 5])), has_work(bytes([0x12, 0]))
    (False, False, True)
    """
    try:
        return not {_MESSAGES_LIST, _MESSAGE_OBJECT_TREES}.isdisjoint(_fields(body))
    except (IndexError, ValueError):
        return True


def _fields(body: bytes) -> Iterator[int]:
    """Yield the numbers of the fields in a protocol-buffers message, without what is inside them."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, at = _varint(body, at)
        elif kind == _BYTES:
            length, at = _varint(body, at)
            at += length
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        yield number


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (body[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not body[at - 1] & 0x80:
            return value, at


@contextmanager
def listening(path: Path, doorman: Doorman) -> Iterator[None]:
    """Take pokes at the datagram socket `path`, which only its owner may write to."""
    path.unlink(missing_ok=True)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        receiver.bind(str(path))
    finally:
        os.umask(before)
    loop = asyncio.get_running_loop()
    loop.add_reader(receiver.fileno(), _taken, receiver, doorman)
    try:
        yield
    finally:
        loop.remove_reader(receiver.fileno())
        receiver.close()
        path.unlink(missing_ok=True)


def _taken(receiver: socket.socket, doorman: Doorman) -> None:
    """Empty the socket: many pokes at a time are one."""
    try:
        while True:
            receiver.recv(64)
    except BlockingIOError:
        doorman.poke()
