"""A question for work is held while there is none, and answered the moment there is some."""

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from flwr.proto.fleet_pb2 import PullMessagesResponse, Reconnect
from flwr.proto.message_pb2 import Message, ObjectTree

from server.deployment import doorman
from server.deployment.doorman import Answer, Doorman, has_work

EMPTY = Answer(200, {}, PullMessagesResponse(reconnect=Reconnect(reconnect=5)).SerializeToString())
WORK = Answer(200, {}, PullMessagesResponse(messages_list=[Message()]).SerializeToString())
REFUSED = Answer(401, {}, b"who are you")
LONG = 600.0
"""Seconds in which nothing happens by itself."""


class SuperLink:
    """Answers in turn; the last answer stays. `here` is how many ask at the same time, at most."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked, self.now, self.here = list(answers), 0, 0, 0

    async def ask(self) -> Answer:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked, self.now = self.asked + 1, self.now + 1
        self.here = max(self.here, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return answer


async def stays() -> bool:
    return False


async def hangs_up() -> bool:
    return True


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def in_a_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


# --- what an answer says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "work"),
    [
        (PullMessagesResponse(), False),
        (PullMessagesResponse(reconnect=Reconnect(reconnect=300)), False),
        (PullMessagesResponse(messages_list=[Message()]), True),
        (PullMessagesResponse(reconnect=Reconnect(reconnect=1), messages_list=[Message()]), True),
        (PullMessagesResponse(message_object_trees=[ObjectTree(object_id="a")]), True),
    ],
)
def test_work_is_seen_as_flower_would_see_it(response: PullMessagesResponse, work: bool) -> None:
    assert has_work(response.SerializeToString()) is work


@pytest.mark.parametrize("body", [b"\x80", b"\x0f", b"\xff\xff"])
def test_what_cannot_be_read_is_handed_on_at_once(body: bytes) -> None:
    assert has_work(body)


# --- holding --------------------------------------------------------------------------------------------


@in_a_loop
async def test_work_is_handed_on_at_once() -> None:
    link = SuperLink(WORK)
    assert await Doorman(hold_seconds=LONG, tick_seconds=LONG).answer(b"acme", link.ask, stays) == WORK
    assert link.asked == 1


@in_a_loop
async def test_a_poke_brings_work_to_whoever_waits() -> None:
    link, keeper = SuperLink(EMPTY, WORK), Doorman(hold_seconds=LONG, tick_seconds=LONG)
    waiting = asyncio.create_task(keeper.answer(b"acme", link.ask, stays))
    await settled(lambda: link.asked == 1 and link.now == 0)
    assert not waiting.done()
    keeper.poke()
    assert await waiting == WORK


@in_a_loop
async def test_a_poke_during_the_question_is_not_missed() -> None:
    keeper = Doorman(hold_seconds=LONG, tick_seconds=LONG)
    link = SuperLink(EMPTY, WORK)

    async def ask() -> Answer:
        answer = await link.ask()
        if link.asked == 1:
            keeper.poke()  # work arrives after the SuperLink looked, before we wait
        return answer

    async with asyncio.timeout(10):
        assert await keeper.answer(b"acme", ask, stays) == WORK


@in_a_loop
async def test_without_pokes_the_superlink_is_asked_again_now_and_then() -> None:
    link = SuperLink(EMPTY, EMPTY, WORK)
    assert await Doorman(hold_seconds=LONG, tick_seconds=0.01).answer(b"acme", link.ask, stays) == WORK


@in_a_loop
async def test_when_the_time_is_up_the_empty_answer_goes_out() -> None:
    link = SuperLink(EMPTY)
    assert await Doorman(hold_seconds=0.05, tick_seconds=LONG).answer(b"acme", link.ask, stays) == EMPTY
    assert link.asked == 2  # at the beginning and at the end


@in_a_loop
async def test_a_refusal_is_not_held() -> None:
    link = SuperLink(REFUSED)
    assert await Doorman(hold_seconds=LONG, tick_seconds=LONG).answer(b"acme", link.ask, stays) == REFUSED


@in_a_loop
async def test_for_whoever_hung_up_nothing_is_asked() -> None:
    link, keeper = SuperLink(EMPTY, WORK), Doorman(hold_seconds=LONG, tick_seconds=LONG)
    waiting = asyncio.create_task(keeper.answer(b"acme", link.ask, hangs_up))
    await settled(lambda: link.asked == 1 and link.now == 0)
    keeper.poke()
    assert await waiting == EMPTY
    assert link.asked == 1


@in_a_loop
async def test_a_newer_question_of_the_same_node_sends_the_older_one_away() -> None:
    # The node was restarted; its old connection must not swallow the work.
    old, new = SuperLink(EMPTY, WORK), SuperLink(EMPTY, WORK)
    keeper = Doorman(hold_seconds=LONG, tick_seconds=LONG)
    first = asyncio.create_task(keeper.answer(b"acme", old.ask, stays))
    await settled(lambda: old.asked == 1 and old.now == 0)
    second = asyncio.create_task(keeper.answer(b"acme", new.ask, stays))
    assert await first == EMPTY
    keeper.poke()
    assert await second == WORK
    assert old.asked == 1


@in_a_loop
async def test_a_question_that_is_refused_sends_nobody_away() -> None:
    true, forged = SuperLink(EMPTY, WORK), SuperLink(REFUSED)
    keeper = Doorman(hold_seconds=LONG, tick_seconds=LONG)
    waiting = asyncio.create_task(keeper.answer(b"acme", true.ask, stays))
    await settled(lambda: true.asked == 1 and true.now == 0)
    assert await keeper.answer(b"acme", forged.ask, stays) == REFUSED
    keeper.poke()
    assert await waiting == WORK


@in_a_loop
async def test_one_poke_for_hundreds_asks_a_few_at_a_time() -> None:
    link, keeper = SuperLink(EMPTY), Doorman(hold_seconds=LONG, tick_seconds=LONG)
    nodes = [str(number).encode() for number in range(300)]
    waiting = [asyncio.create_task(keeper.answer(node, link.ask, stays)) for node in nodes]
    await settled(lambda: link.asked == 300 and link.now == 0)
    link.answers = [WORK]
    keeper.poke()
    assert await asyncio.gather(*waiting) == [WORK] * 300
    assert link.here == doorman.TOGETHER


# --- being poked ----------------------------------------------------------------------------------------


def test_a_datagram_is_a_poke(tmp_path: Path) -> None:
    async def poked() -> None:
        link, keeper = SuperLink(EMPTY, WORK), Doorman(hold_seconds=LONG, tick_seconds=LONG)
        with (
            doorman.listening(tmp_path / "poke", keeper),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s,
        ):
            waiting = asyncio.create_task(keeper.answer(b"acme", link.ask, stays))
            await settled(lambda: link.asked == 1 and link.now == 0)
            s.sendto(b"", str(tmp_path / "poke"))
            async with asyncio.timeout(10):
                assert await waiting == WORK

    asyncio.run(poked())


def test_the_socket_is_for_its_owner_and_goes_with_the_doorman(tmp_path: Path) -> None:
    path = tmp_path / "poke"
    path.touch()  # left behind by one that was killed

    async def modes() -> int:
        with doorman.listening(path, Doorman()):
            return stat.S_IMODE(os.stat(path).st_mode)

    assert asyncio.run(modes()) == 0o600
    assert not path.exists()
