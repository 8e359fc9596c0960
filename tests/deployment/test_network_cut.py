"""The line to a merchant is cut in the middle of a round: the others go on, and it comes back by itself."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment.town import Town, accepted, town_of, wait_at_work
from tests.integration import experiments

pytestmark = [pytest.mark.deploy, pytest.mark.chaos]

ROUNDS = 6
TERMS = {
    "rounds": ROUNDS,
    "full_batch": False,
    "expected_batch": 8,
    "local_steps": 300,
    "deadline_seconds": 45.0,
}
HERE, THERE, PREFIX = "10.213.77.1", "10.213.77.2", "30"


@dataclass(frozen=True)
class Line:
    """A cable between this machine and a network namespace with nothing else in it.

    Attributes:
        name: Of the namespace.
        near: Name of the cable's end on this side.
    """

    name: str
    near: str

    @property
    def inside(self) -> tuple[str, ...]:
        """Words before a command that is to run at the far end."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        ip("link", "set", self.near, "down")

    def mend(self) -> None:
        ip("link", "set", self.near, "up")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def line() -> Iterator[Line]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need `ip` and the right to make them")
    made = Line(f"shop{os.getpid()}", f"line{os.getpid()}")
    far = f"end{os.getpid()}"
    try:
        try:
            ip("netns", "add", made.name)
            ip("link", "add", made.near, "type", "veth", "peer", "name", far, "netns", made.name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.decode().strip()}")
        ip("addr", "add", f"{HERE}/{PREFIX}", "dev", made.near)
        ip("-n", made.name, "addr", "add", f"{THERE}/{PREFIX}", "dev", far)
        ip("-n", made.name, "link", "set", "lo", "up")
        ip("-n", made.name, "link", "set", far, "up")
        made.mend()
        yield made
    finally:
        with suppress(subprocess.CalledProcessError):
            ip("link", "delete", made.near)
        with suppress(subprocess.CalledProcessError):
            ip("netns", "delete", made.name)


@pytest.fixture
def town(line: Line, tmp_path: Path) -> Iterator[Town]:
    """A coordinator and a merchant on this machine, and another merchant at the far end of the line."""
    agreement = experiments.contract(federation=TERMS, local={"learning_rate": 0.05})
    made = town_of(tmp_path, agreement, merchants=2)
    near, far = made.names
    with made.deployment as deployment:
        deployment.begin(made.site.contract, host=HERE, proxy="embedded")
        made.invite()
        deployment.start_coordinator()
        made.start(near)
        made.start(far, before=line.inside)
        made.wait_connected()
        yield made


def test_a_merchant_that_was_cut_off_misses_a_round_and_is_back(town: Town, line: Line) -> None:
    near, far = town.names
    run = town.run()
    town.wait_event("round_closed", round=1)
    wait_at_work(town.shop(far))
    line.cut()
    town.wait_event("round_closed", round=2)
    line.mend()
    town.ended(run)

    rounds = accepted(town.journal)
    assert (rounds[1], rounds[2], rounds[ROUNDS]) == ([near, far], [near], [near, far])
    lineage = town.directory.name
    assert town.shop(near).trained(lineage) == dict.fromkeys(range(1, ROUNDS + 1), 1)
    assert set(town.shop(far).trained(lineage).values()) == {1}
    lost = [*town.events("reply_missing"), *town.events("reply_refused")]  # whichever is noticed first
    assert {event["merchant"] for event in lost} == {far}
