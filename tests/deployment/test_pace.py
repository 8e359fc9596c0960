"""The pace of rounds is kept by a clock that nobody can set."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from client.agent.record import journal_file
from client.agent.stub import AgentStub
from shared_model import journal
from shared_model.errors import Refused
from shared_model.protocol import Refusal
from shared_model.schema import load_federation
from simulations.local_deployment import wait_until
from tests.client import shops
from tests.client.agent.desk import contract, signed
from tests.deployment.clocks import wall_clock

pytestmark = pytest.mark.deploy


@contextmanager
def agent(file: Path, socket: Path, environment: dict[str, str]) -> Iterator[AgentStub]:
    command = [sys.executable, "-P", "-m", "client.agent", file]
    with subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(socket.exists, 90, "an agent")
            yield AgentStub(socket)
        finally:
            process.kill()


def test_a_clock_that_is_set_ahead_makes_no_round_come_sooner(tmp_path: Path) -> None:
    file, path = shops.write(
        tmp_path / "shop",
        agreement=contract(pace_seconds=300.0),
        connect={"address": "localhost:8443", "socket": "run/agent.sock"},
    )
    federation = load_federation(path)
    arrays = shops.start(federation)
    clock = tmp_path / "clock"
    clock.write_text("+0")
    with agent(file, file.parent / "run" / "agent.sock", wall_clock(clock)) as merchant:
        merchant.train(signed(federation, arrays), arrays)
        clock.write_text("+10m")
        with pytest.raises(Refused) as refused:
            merchant.train(signed(federation, arrays, round=2, answered=1), arrays)
    assert refused.value.code == Refusal.PACE
    trained, too_soon = journal.read(journal_file(file.parent / "state"))[-2:]
    apart = datetime.fromisoformat(too_soon["at"]) - datetime.fromisoformat(trained["at"])
    assert (trained["event"], too_soon["event"]) == ("trained", "refused")
    assert apart > timedelta(minutes=9)  # the agent's wall clock did jump
