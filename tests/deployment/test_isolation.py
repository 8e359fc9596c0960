"""What code that runs as the node's user can do to the agent, with real users as `docs/deploy.md` makes them.

The same attempts are made at a process of the intruder's own: there all of them succeed, so a refusal means
something.
"""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tomli_w

from shared_model import signing
from shared_model.protocol import Refusal
from tests.client import shops
from tests.client.waiting import eventually
from tests.deployment import intruder, premises
from tests.deployment.premises import AGENT, NODE, ROOT, STRANGER, Premises

pytestmark = pytest.mark.skipif(premises.why_not() != "", reason=premises.why_not())

FOLDER, SOCKET = "/srv/shop/agent", "/run/shop/agent.sock"
OWN = "/srv/shop/node/own"
BIN = Path(sys.executable).parent
PASSWORD = "secret-4711"

ALL = tuple(intruder.attempts(0, Path(), Path(), Path(), Path()))
ALLOWED = ("connect to the agent's socket", "list the sockets")
"""What the group of the socket is for; everything else is refused."""
REFUSALS = {"Permission denied", "Operation not permitted"}


# --- the machine --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Machine:
    """A merchant's machine with a running agent.

    Attributes:
        premises: Where its commands run.
        up: The agent's `fedbazaar-client up`.
        agent: Process id of the agent.
    """

    premises: Premises
    up: "subprocess.Popen[bytes]"
    agent: int

    def tried(self, user: str, process: int, folder: str, socket: str) -> dict[str, str]:
        """What came of every attempt of an intruder."""
        paths = (folder, f"{folder}/examples.parquet", socket, f"{folder}/state/owner.sock")
        command = (sys.executable, "-I", "-S", intruder.__file__, process, *paths)
        found: dict[str, str] = json.loads(self.premises.run(*map(str, command), user=user))
        return found

    def asked(self, question: str) -> str:
        """What the agent answers the node's user, who asks in Python with a `stub` at hand."""
        program = (
            "import dataclasses, sys, numpy as np\n"
            "from pathlib import Path\n"
            "from client.agent.stub import AgentStub\n"
            "from shared_model.errors import Refused\n"
            "from shared_model.protocol import Instruction\n"
            f"stub = AgentStub(Path({SOCKET!r}))\n"
            "asked = Instruction(fingerprint='f' * 64, lineage='spring', round=1, digest='d' * 64)\n"
            "arrays = {'x': np.zeros(1, np.float32)}\n"
            "try:\n"
            f"    print({question})\n"
            "except Refused as error:\n"
            "    print(int(error.code))\n"
        )
        return self.premises.run(sys.executable, "-c", program, user=NODE).strip()


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Two users as the guide makes them, and a third; the first one runs an agent."""
    with tempfile.TemporaryDirectory() as name, premises.premises(Path(name)) as made:
        Path(name).chmod(0o755)
        invite(made, Path(name) / "shop")
        made.run("bash", "-euo", "pipefail", "-s", told=premises.guide())
        made.run("useradd", "--system", "--no-create-home", STRANGER)
        describe(made, Path(name) / "shop")
        output = Path(name) / "output.txt"
        command = (BIN / "fedbazaar-client", "up", FOLDER, "--role", "agent")
        up = made.start(*command, user=AGENT, output=output, SHOP_PASSWORD=PASSWORD)
        try:
            eventually(lambda: ready(up, output), seconds=90, what="an agent that is ready")
            agent = int(made.path(f"{FOLDER}/state/logs/agent.pid").read_text())
            yield Machine(made, up, agent)
        finally:
            up.terminate()
            up.wait(60)


def ready(up: "subprocess.Popen[bytes]", output: Path) -> bool:
    assert up.poll() is None, output.read_text()
    return "agent   ready" in output.read_text()


def invite(made: Premises, shop: Path) -> None:
    """Put an invitation where the guide expects it."""
    agreement = shops.contract(federation={"coordinator_key": signing.public_key(signing.new_key())})
    _, contract = shops.write(shop, agreement=agreement)
    invitation = made.path("/srv/shop/invitation")
    invitation.mkdir(parents=True)
    (invitation / "federation.toml").write_bytes(contract.read_bytes())
    (invitation / "ca.crt").write_bytes(authority())
    (invitation / "invitation.toml").write_text('address = "market.example:443"\n')


def authority() -> bytes:
    """A certificate; the agent's half never looks at it."""
    from server.deployment.certificates import new_authority

    return new_authority("market").certificate


def describe(made: Premises, shop: Path) -> None:
    """Describe the shop's data in the agent's file, and put the data there."""
    file = made.path(f"{FOLDER}/merchant.toml")
    written = tomllib.loads(file.read_text())
    described = tomllib.loads((shop / "merchant.toml").read_text()) | {"connect": written["connect"]}
    file.write_text(tomli_w.dumps(described))
    made.path(f"{FOLDER}/examples.parquet").write_bytes((shop / "examples.parquet").read_bytes())
    made.run("chown", f"{AGENT}:{AGENT}", f"{FOLDER}/examples.parquet")


# --- what the node's user can do ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_the_node(machine: Machine) -> dict[str, str]:
    return machine.tried(NODE, machine.agent, FOLDER, SOCKET)


@pytest.mark.parametrize("attempt", sorted(set(ALL) - set(ALLOWED)))
def test_the_nodes_user_cannot(attempt: str, by_the_node: dict[str, str]) -> None:
    assert by_the_node[attempt] in REFUSALS


@pytest.mark.parametrize("attempt", ALLOWED)
def test_the_nodes_user_can(attempt: str, by_the_node: dict[str, str]) -> None:
    assert by_the_node[attempt] == ""


@pytest.fixture(scope="module")
def by_the_node_at_itself(machine: Machine) -> Iterator[dict[str, str]]:
    """The same attempts at a process, files and sockets of the intruder's own."""
    command = (sys.executable, "-I", "-S", ROOT / "tests" / "deployment" / "victim.py", OWN)
    called = machine.premises.called(*command, user=NODE)
    with subprocess.Popen(called, stdout=subprocess.PIPE, env=premises.environment()) as victim:
        assert victim.stdout is not None
        process = int(victim.stdout.readline())
        try:
            yield machine.tried(NODE, process, OWN, f"{OWN}/sockets/agent.sock")
        finally:
            victim.kill()


@pytest.mark.parametrize("attempt", ALL)
def test_the_same_attempt_at_a_process_of_its_own_succeeds(
    attempt: str, by_the_node_at_itself: dict[str, str]
) -> None:
    assert by_the_node_at_itself[attempt] == ""


# --- what the socket gives ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "question", ["stub.train(asked, arrays)", "stub.adopt(dataclasses.replace(asked, kind='adopt'), arrays)"]
)
def test_an_unsigned_question_of_the_nodes_user_gets_a_code_and_nothing_else(
    machine: Machine, question: str
) -> None:
    assert machine.asked(question) == str(int(Refusal.SIGNATURE))


def test_who_the_merchant_is_may_be_asked_since_it_is_public(machine: Machine) -> None:
    assert machine.asked("stub.describe().name") == "acme"


# --- a third user, and what is left lying about -------------------------------------------------------


@pytest.mark.parametrize("attempt", ALL)
def test_a_third_user_cannot(attempt: str, machine: Machine, by_a_stranger: dict[str, str]) -> None:
    assert by_a_stranger[attempt] in REFUSALS


@pytest.fixture(scope="module")
def by_a_stranger(machine: Machine) -> dict[str, str]:
    return machine.tried(STRANGER, machine.agent, FOLDER, SOCKET)


def test_its_folders_are_closed_to_everybody_else(machine: Machine) -> None:
    folders = (FOLDER, f"{FOLDER}/state", "/srv/shop/node", "/srv/shop/node/keys")
    modes = {folder: stat.S_IMODE(machine.premises.path(folder).stat().st_mode) for folder in folders}
    assert modes == dict.fromkeys(folders, 0o700)


def test_the_agent_opens_no_port(machine: Machine) -> None:
    user = str(machine.premises.path(f"{FOLDER}/merchant.toml").stat().st_uid)
    tables = [
        Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6", "udp", "udp6")
    ]
    assert [line for table in tables for line in table if line.split()[7] == user] == []


def test_after_all_that_the_agent_still_works(
    machine: Machine, by_the_node: dict[str, str], by_a_stranger: dict[str, str]
) -> None:
    assert machine.asked("stub.describe().name") == "acme"
    assert machine.up.poll() is None


def test_told_to_stop_it_waits_for_an_agent_that_it_cannot_see(machine: Machine) -> None:
    """As under systemd's `ProtectProc=invisible`: closed to its own user too, the agent is hidden."""
    machine.premises.run("mount", "-t", "proc", "-o", "hidepid=invisible", "proc", "/proc")
    assert str(machine.agent) not in machine.premises.run("ls", "/proc", user=AGENT).split()
    os.kill(machine.agent, signal.SIGSTOP)
    machine.up.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        machine.up.wait(1)
    os.kill(machine.agent, signal.SIGCONT)
    assert machine.up.wait(30) == 0
    assert not Path(f"/proc/{machine.agent}").exists()
    assert not machine.premises.path(SOCKET).exists()
