"""A real SuperLink behind each proxy: what a merchant and what a stranger get through the door."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server import cli
from server.deployment import flower, nginx, status, superlink
from server.deployment.market import Market
from shared_model.errors import StateError
from tests.server.deployment.markets import founded, node_key

PATIENCE = 60.0
EMBEDDED = "embedded"
NGINX = pytest.param(
    "nginx",
    marks=pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed on this machine"),
)


@dataclass(frozen=True)
class Open:
    """A market that is up.

    Attributes:
        market: Its folder.
        up: The process of `fedbazaar-server up`.
        said: What it printed.
    """

    market: Market
    up: "subprocess.Popen[bytes]"
    said: Path

    def asked(self, target: str, body: bytes = b"") -> int:
        """Status of a POST by somebody who holds the CA's certificate and nothing else."""
        context = ssl.create_default_context(cafile=self.market.invitation / "ca.crt")
        address = self.market.address
        with closing(HTTPSConnection(address.host, address.port, timeout=PATIENCE, context=context)) as to:
            to.putrequest("POST", target, skip_accept_encoding=True)
            to.putheader("content-length", str(len(body)))
            to.endheaders(body)
            return to.getresponse().status


def until(condition: Callable[[], bool], process: "subprocess.Popen[bytes]", said: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@pytest.fixture(scope="module", params=[EMBEDDED, NGINX])
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """A market with one member, opened by the command itself."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    settings = f'proxy = "{request.param}"\nlisten = "127.0.0.1:{port}"\n'
    market = founded(folder, address=f"localhost:{port}", settings=settings)
    enrolled = CliRunner().invoke(
        cli.app, ["enroll", str(market.folder), str(node_key(folder)), "--name", "acme"]
    )
    assert enrolled.exit_code == 0, enrolled.output
    said = folder / "said"
    command = [Path(sys.executable).with_name("fedbazaar-server"), "up", market.folder]
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(lambda: b"registered acme" in said.read_bytes(), process, said)
        until(lambda: b"is ready" in said.read_bytes(), process, said)
        yield Open(market, process, said)
    finally:
        process.terminate()
        process.wait(PATIENCE)


pytestmark = pytest.mark.deploy


def test_status_knows_that_it_is_up_and_whom_it_waits_for(opened: Open) -> None:
    found = status.facts(opened.market)
    assert (found["coordinator"], found["superlink"]) == ("up", "up")
    assert [(member["name"], member["node"]) for member in found["members"]] == [("acme", "registered")]


@pytest.mark.parametrize(
    "target",
    [
        "/v1/control/list-runs",
        "/v1/control/start-run",
        "/v1/runtime/acquire-task",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/health",
        "/docs",
        "/",
        "/v1/fleet/../control/list-runs",
        "/v1/fleet/%2e%2e/control/list-runs",
        "/v1/fleet/..%2fcontrol/list-runs",
        "/v1/control/x/../../fleet/pull-object",
        "//v1/control/list-runs",
        "//v1/fleet/pull-object",
        "/v1/fleet/pull-object?x=1",
    ],
)
def test_somebody_with_nothing_but_the_ca_certificate_is_forbidden(opened: Open, target: str) -> None:
    assert opened.asked(target) == 403


def test_without_a_nodes_signature_the_superlink_itself_refuses(opened: Open) -> None:
    assert 400 <= opened.asked("/v1/fleet/pull-messages") < 500


def test_a_body_larger_than_any_of_flowers_is_refused(opened: Open) -> None:
    assert opened.asked("/v1/fleet/push-object", bytes(9 * 1024 * 1024)) == 413


def test_flowers_commands_get_nowhere_through_the_door(opened: Open, tmp_path: Path) -> None:
    home = tmp_path / "stranger"
    ca = opened.market.invitation / "ca.crt"
    flower.write_connection(home, address=str(opened.market.address), ca=ca)
    with pytest.raises(StateError, match="403"):
        flower.runs(home)


def test_the_superlink_itself_listens_on_loopback_only(opened: Open) -> None:
    number = f"{int((opened.market.state / 'superlink.port').read_text()):04X}"
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    local = [line.split()[1] for table in tables for line in table if line.split()[3] == "0A"]  # LISTEN
    assert [address for address in local if address.endswith(f":{number}")] == [f"0100007F:{number}"]


def test_a_second_up_is_refused(opened: Open) -> None:
    command = [Path(sys.executable).with_name("fedbazaar-server"), "up", opened.market.folder]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"runs already (process {opened.up.pid})" in second.stderr


def test_a_killed_superlink_is_back_and_remembers_its_members(opened: Open) -> None:
    file = opened.market.logs / "superlink.pid"
    before = int(file.read_text())
    os.kill(before, signal.SIGKILL)
    until(lambda: b"killed by SIGKILL" in opened.said.read_bytes(), opened.up, opened.said)
    until(lambda: superlink.is_up(opened.market), opened.up, opened.said)
    assert int(file.read_text()) != before
    assert [node.status for node in flower.nodes(opened.market.flower_home)] == ["registered"]


def test_ctrl_c_ends_everything(opened: Open) -> None:  # the last one: it closes the market
    ids = [int(path.read_text()) for path in opened.market.logs.glob("*.pid")]
    assert ids
    opened.up.send_signal(signal.SIGINT)
    assert opened.up.wait(PATIENCE) == 0
    assert not any(Path(f"/proc/{identity}").exists() for identity in ids)
    assert not superlink.is_up(opened.market)
