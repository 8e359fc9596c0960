"""A merchant's processes start in order, run once, share no secret in the open, and stop together."""

import io
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from rich.console import Console
from typer.testing import CliRunner

from client import up as module
from client.cli import app
from client.connection import Deployed, load_deployed
from client.roles import Role
from client.screen import Screen
from client.up import agent_child, node_children, up
from shared_model.errors import ConfigError, StateError
from shared_model.processes import Child, only_one
from tests.client import shops
from tests.client.exports import write_merchant

ADDRESS = "market.example:8443"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return connected(tmp_path / "shop")


def connected(folder: Path, **table: Any) -> Path:
    write_merchant(folder, orders={"source": "orders.csv"}, connect={"address": ADDRESS} | table)
    (folder / "keys").mkdir()
    (folder / "state").mkdir()
    for name in ("federation.toml", "ca.crt", "keys/node.key"):
        (folder / name).write_text("there")
        (folder / name).chmod(0o600)
    return folder


def words(child: Child) -> list[str]:
    return [str(part) for part in child.command]


def after(child: Child, option: str) -> str:
    """Return what stands behind an option of a command."""
    return words(child)[words(child).index(option) + 1]


# --- what is started ------------------------------------------------------------------------------------


def test_the_node_answers_to_the_bridge_alone(shop: Path) -> None:
    bridge, node = node_children(load_deployed(shop))
    assert after(node, "--isolation") == "process"
    assert after(bridge, "--runtime") == f"127.0.0.1:{after(node, '--port')}"
    assert after(node, "--host") == "127.0.0.1"
    assert after(bridge, "--secret") == after(node, "--superexec-auth-secret-file")


def test_the_fallback_is_flowers_own_way_without_a_bridge(tmp_path: Path) -> None:
    (node,) = node_children(load_deployed(connected(tmp_path / "shop", executor="clientapp")))
    assert after(node, "--isolation") == "subprocess"
    assert "--superexec-auth-secret-file" not in words(node)


def test_the_node_knows_the_agents_socket_and_nothing_else_of_the_merchant(tmp_path: Path) -> None:
    odd = tmp_path / 'the "old" shop'
    node = node_children(load_deployed(connected(odd)))[-1]
    configuration = Path(after(node, "--node-config"))
    assert flower_reads(configuration) == {"agent": str(odd / "run" / "agent.sock")}


def flower_reads(configuration: Path) -> dict[str, object]:
    from flwr.common.config import parse_config_args

    return parse_config_args([str(configuration)])


def test_no_secret_stands_in_an_argument(shop: Path) -> None:
    children = node_children(load_deployed(shop))
    secret = Path(after(children[0], "--secret")).read_text()
    assert len(secret) == 64
    assert not any(secret in word for child in children for word in words(child))


def test_the_secret_is_for_the_own_user_and_new_every_time(shop: Path) -> None:
    found = []
    for _ in range(2):
        file = Path(after(node_children(load_deployed(shop))[0], "--secret"))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        found.append(file.read_text())
    assert found[0] != found[1]


def test_a_chosen_port_is_used(tmp_path: Path) -> None:
    _, node = node_children(load_deployed(connected(tmp_path / "shop", runtime_port=48094)))
    assert after(node, "--port") == "48094"


def test_only_the_agent_knows_the_passwords_of_the_environment(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "secret")
    deployed = load_deployed(shop)
    (agent,) = agent_child(deployed)
    assert agent.environment["SHOP_PASSWORD"] == "secret"
    assert all("secret" not in child.environment.values() for child in node_children(deployed))


def test_what_is_local_never_goes_through_a_proxy(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    for child in node_children(load_deployed(shop)):
        assert child.environment["HTTPS_PROXY"] == "http://proxy.example:3128"
        assert child.environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"


@pytest.mark.parametrize("name", ["agent", "bridge"])
def test_a_folder_of_the_same_name_where_it_is_started_is_not_run(
    shop: Path, tmp_path: Path, name: str
) -> None:
    deployed = load_deployed(shop)
    children = {child.name: child for child in (*agent_child(deployed), *node_children(deployed))}
    trap = tmp_path / "client" / "__init__.py"
    trap.parent.mkdir()
    trap.write_text("raise SystemExit('the wrong package')")
    command = words(children[name])
    ran = subprocess.run(
        [*command[: command.index("-m") + 2], "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_an_agent_is_ready_when_it_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = connected(tmp_path / "shop", socket="a.sock")
    monkeypatch.chdir(folder)  # the path of the test's folder may be too long for a socket
    (agent,) = agent_child(load_deployed(Path()))
    assert agent.ready is not None
    assert not agent.ready()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("a.sock")
        assert not agent.ready()  # a killed agent leaves its socket behind
        listening.listen()
        assert agent.ready()


# --- what is checked before anything starts --------------------------------------------------------------


def told(_: str, event: str, reason: str) -> None:
    raise AssertionError(f"{event} {reason}")


@pytest.mark.parametrize(
    ("role", "missing", "key"),
    [
        (Role.ALL, "federation.toml", "connect.contract"),
        (Role.ALL, "ca.crt", "connect.certificates"),
        (Role.ALL, "keys/node.key", "connect.node_key"),
        (Role.AGENT, "federation.toml", "connect.contract"),
        (Role.NODE, "keys/node.key", "connect.node_key"),
    ],
)
def test_a_file_that_is_missing_is_named(shop: Path, role: Role, missing: str, key: str) -> None:
    (shop / missing).unlink()
    with pytest.raises(ConfigError) as refused:
        up(shop, role, told)
    assert refused.value.key == key


def test_a_key_that_others_can_read_is_refused(shop: Path) -> None:
    (shop / "keys" / "node.key").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        up(shop, Role.NODE, told)


def test_another_users_state_folder_is_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK and readable(path, mode))
    with pytest.raises(StateError, match=r"belongs to another user.*a merchant.toml and a state folder"):
        up(shop, Role.NODE, told)


def test_a_seed_is_the_agents_alone(shop: Path) -> None:
    assert after(agent_child(load_deployed(shop), seed=7)[0], "--seed") == "7"
    with pytest.raises(ConfigError, match="only the agent draws"):
        up(shop, Role.NODE, told, seed=7)


def test_under_privacy_a_seed_is_refused_before_anything_starts(shop: Path) -> None:
    agreement = shops.contract(federation={"full_batch": True}, privacy={"epsilon": 8.0, "delta": 1e-6})
    (shop / "federation.toml").write_text(tomli_w.dumps(agreement))
    with pytest.raises(ConfigError, match="protects nobody"):
        up(shop, Role.ALL, told, seed=7)


@pytest.mark.parametrize(
    ("running", "role", "half"),
    [("agent", Role.ALL, "agent"), ("node", Role.ALL, "node"), ("node", Role.NODE, "node")],
)
def test_it_runs_once(shop: Path, running: str, role: Role, half: str) -> None:
    with (
        only_one(shop / "state" / f"up-{running}.lock", what="it"),
        pytest.raises(StateError, match=f"the {half} of acme runs already"),
    ):
        up(shop, role, told)


def test_a_merchant_that_is_not_connected_is_told_how(tmp_path: Path) -> None:
    write_merchant(tmp_path, orders={"source": "orders.csv"})
    result = CliRunner().invoke(app, ["up", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "fedbazaar-client init" in str(result.exception)


# --- a whole run with small children ---------------------------------------------------------------------


@dataclass
class Events:
    """What was announced; stops the run as soon as `last` is."""

    last: tuple[str, str]
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, name: str, event: str, reason: str) -> None:
        self.seen.append((name, event, reason))
        if (name, event) == self.last:
            signal.raise_signal(signal.SIGINT)

    @property
    def short(self) -> list[str]:
        return [f"{name} {event}" for name, event, _ in self.seen]


def small(deployed: Deployed, name: str, code: str = "import time; time.sleep(60)") -> Child:
    log = deployed.state / "logs" / f"{name}.log"
    return Child(name=name, command=(sys.executable, "-c", code), environment=os.environ, log=log)


@pytest.fixture
def small_children(monkeypatch: pytest.MonkeyPatch) -> None:
    def agent(deployed: Deployed, seed: int | None) -> Sequence[Child]:
        return (small(deployed, "agent"),)

    def node(deployed: Deployed) -> Sequence[Child]:
        return small(deployed, "bridge"), small(deployed, "node")

    monkeypatch.setattr(module, "agent_child", agent)
    monkeypatch.setattr(module, "node_children", node)


@pytest.mark.usefixtures("small_children")
@pytest.mark.parametrize(
    ("role", "names"),
    [
        (Role.ALL, ["agent", "bridge", "node"]),
        (Role.AGENT, ["agent"]),
        (Role.NODE, ["bridge", "node"]),
    ],
)
def test_a_role_starts_its_part_in_order_and_stops_it_in_reverse(
    shop: Path, role: Role, names: list[str]
) -> None:
    events = Events((names[-1], "ready"))
    up(shop, role, events)
    assert [name for name, event, _ in events.seen if event == "starting"] == names
    assert [name for name, event, _ in events.seen if event == "stopped"] == names[::-1]


@pytest.mark.usefixtures("small_children")
def test_it_says_when_it_is_connected_and_where(shop: Path) -> None:
    events = Events(("node", "ready"))
    up(shop, Role.NODE, events)
    assert ("node", "ready", f"connected to {ADDRESS}") in events.seen


@pytest.mark.usefixtures("small_children")
def test_it_can_be_started_again_after_it_was_stopped(shop: Path) -> None:
    for _ in range(2):
        events = Events(("node", "ready"))
        up(shop, Role.ALL, events)
        assert events.short[-1] == "agent stopped"


def test_a_coordinator_that_does_not_answer_is_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "print('Connection attempt failed\\n' * 3, flush=True); import time; time.sleep(60)"
    monkeypatch.setattr(module, "node_children", lambda deployed: (small(deployed, "node", code),))
    events = Events(("node", "note"))
    up(shop, Role.NODE, events)
    (said,) = [reason for _, event, reason in events.seen if event == "note"]
    assert said.startswith(f"{ADDRESS} does not answer")


@pytest.mark.usefixtures("small_children")
def test_the_screen_tells_a_run_in_a_few_lines(shop: Path) -> None:
    text = io.StringIO()
    screen = Screen(Console(file=text, width=80))
    events = Events(("node", "ready"))

    def both(name: str, event: str, reason: str) -> None:
        screen(name, event, reason)
        events(name, event, reason)

    up(shop, Role.ALL, both)
    assert [line[10:] for line in text.getvalue().splitlines()] == [
        "agent   starting", "agent   ready",
        "bridge  starting", "bridge  ready",
        "node    starting", f"node    ready: connected to {ADDRESS}",
        "node    stopped", "bridge  stopped", "agent   stopped",
    ]  # fmt: skip
