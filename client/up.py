"""Start a merchant's processes and keep them running: agent, bridge and SuperNode.

Guarantees:
    * Only one `up` of each role runs for a merchant.
    * When `up` ends, however it ends, nothing that it started is left (`shared_model.processes`).
    * No secret stands in any argument; only the agent gets this process's environment, in which passwords of
      databases may be.
    (`tests/client/test_up.py`)
"""

import os
import secrets
import socket
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import tomli_w

from shared_model.errors import ConfigError, StateError
from shared_model.processes import Announce, Child, only_one, supervise
from shared_model.schema import load_federation

from .agent.addresses import listens
from .connection import Connection, Deployed, load_deployed
from .flower_version import check_flower
from .node_log import Reachability, endings, is_answering, is_connected
from .roles import Role

_PASSED_ON = (
    *("HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH"),
    *("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
)
"""What node and bridge get of the environment."""
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "PYTHONUNBUFFERED": "1",
}
_QUICK = {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1"}
"""Flower's own executor looks for work so often instead of every second; it costs one per cent of a core."""
_LOCAL = "127.0.0.1"
_LOOK_SECONDS = 0.5


def up(merchant: Path, role: Role, announce: Announce, *, seed: int | None = None) -> None:
    """Run a merchant's processes until SIGINT, SIGTERM or SIGHUP.

    Args:
        merchant: Its `merchant.toml`, or the folder of it.
        role: Which of them.
        announce: Is told what happens to each.
        seed: Repeats the draws of a simulation, to compare with one.

    Raises:
        ConfigError: The file says something not allowed, or names a file that is missing or not safe; or a
            seed is given where nothing may be repeated.
        StateError: They run already, or the state folder belongs to another user.
    """
    check_flower()
    deployed = load_deployed(merchant)
    _check_files(deployed, role)
    _check_seed(deployed, role, seed)
    with ExitStack() as held:
        for half in (Role.AGENT, Role.NODE):
            if role in (half, Role.ALL):
                held.enter_context(_alone(deployed, half))
        children = [
            *(agent_child(deployed, seed) if role != Role.NODE else ()),
            *(node_children(deployed) if role != Role.AGENT else ()),
        ]
        if role != Role.AGENT:
            held.enter_context(_watched(deployed, announce))
        supervise(children, announce=_named(deployed.connection.address, announce))


def _named(address: str, announce: Announce) -> Announce:
    """Return `announce`, which says of a node that is ready what that means."""

    def said(name: str, event: str, reason: str) -> None:
        connected = (name, event) == ("node", "ready")
        announce(name, event, f"connected to {address}" if connected else reason)

    return said


def agent_child(deployed: Deployed, seed: int | None = None) -> Sequence[Child]:
    """Return the agent."""
    repeated = () if seed is None else ("--seed", str(seed))
    return (
        Child(
            name="agent",
            command=(sys.executable, "-P", "-m", "client.agent", deployed.file, *repeated),
            environment=os.environ | _QUIET,
            log=_log(deployed, "agent"),
            ready=lambda: listens(deployed.connection.socket),
        ),
    )


def node_children(deployed: Deployed) -> Sequence[Child]:
    """Return the SuperNode and, unless it is to run Flower's own processes, the bridge before it.

    Makes the files that they share: the node's configuration, and a secret that is new every time.
    """
    connection, folder = deployed.connection, _node_folder(deployed)
    _write_private(folder / "node.toml", tomli_w.dumps({"agent": str(connection.socket)}))
    _write_private(folder / "secret", secrets.token_hex(32))
    port = connection.runtime_port or _free_port()
    node = Child(
        name="node",
        command=_node_command(connection, folder, port),
        environment=_environment() | _QUICK | {"FLWR_HOME": str(folder / "flower")},
        log=_log(deployed, "node"),
        ready=lambda: is_connected(_log(deployed, "node")),
        endings=endings(connection.address),
    )
    if connection.executor == "clientapp":
        return (node,)
    bridge = Child(
        name="bridge",
        command=_bridge_command(connection, folder, port),
        environment=_environment(),
        log=_log(deployed, "bridge"),
        ready=lambda: is_answering(_log(deployed, "bridge")),
    )
    return (bridge, node)


def _node_command(connection: Connection, folder: Path, port: int) -> Sequence[str | Path]:
    isolated = {
        "bridge": ("--isolation", "process", "--superexec-auth-secret-file", folder / "secret"),
        "clientapp": ("--isolation", "subprocess"),
    }
    return (
        *(Path(sys.executable).with_name("flower-supernode"), "--superlink", connection.address),
        *("--root-certificates", connection.certificates),
        *("--auth-supernode-private-key", connection.node_key),
        *("--host", _LOCAL, "--port", str(port)),
        *("--node-config", folder / "node.toml"),
        *isolated[connection.executor],
    )


def _bridge_command(connection: Connection, folder: Path, port: int) -> Sequence[str | Path]:
    return (
        *(sys.executable, "-P", "-m", "client.bridge", "--runtime", f"{_LOCAL}:{port}"),
        *("--secret", folder / "secret", "--agent", connection.socket, "--at-hand", folder / "at-hand.json"),
    )


def _environment() -> dict[str, str]:
    """Return what node and bridge need of the environment, and nothing that only the agent should know."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    direct = [os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "", _LOCAL, "localhost"]
    commands = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return kept | _QUIET | {"PATH": commands, "NO_PROXY": ",".join(filter(None, direct))}


# --- checks and files ------------------------------------------------------------------------------------


def _check_files(deployed: Deployed, role: Role) -> None:
    connection = deployed.connection
    needed = {
        Role.AGENT: {"contract": connection.contract},
        Role.NODE: {"certificates": connection.certificates, "node_key": connection.node_key},
    }
    needed[Role.ALL] = needed[Role.AGENT] | needed[Role.NODE]
    for key, path in needed[role].items():
        if not os.access(path, os.R_OK):
            raise ConfigError(deployed.file, f"connect.{key}", str(path), "a file that this user can read")
    if role != Role.AGENT and connection.node_key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        allowed = f"a file that only its owner can read (chmod 600 {connection.node_key})"
        raise ConfigError(deployed.file, "connect.node_key", str(connection.node_key), allowed)


def _check_seed(deployed: Deployed, role: Role, seed: int | None) -> None:
    if seed is None:
        return
    if role == Role.NODE:
        raise ConfigError("up", "--seed", seed, "nothing with --role node: only the agent draws")
    if load_federation(deployed.connection.contract).privacy is not None:
        allowed = (
            "nothing under a contract with a [privacy] table: noise that can be repeated protects nobody"
        )
        raise ConfigError("up", "--seed", seed, allowed)


@contextmanager
def _alone(deployed: Deployed, half: Role) -> Iterator[None]:
    state = deployed.state
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except PermissionError:
        raise StateError(f"{state} cannot be made by this user.") from None
    if not os.access(state, os.W_OK | os.X_OK):
        raise StateError(
            f"{state} belongs to another user. Where two users run agent and node, each needs a "
            "merchant.toml and a state folder of its own; the node's has only [merchant] and [connect]."
        )
    with only_one(state / f"up-{half}.lock", what=f"the {half} of {deployed.name}"):
        yield


def _node_folder(deployed: Deployed) -> Path:
    folder = deployed.state / "node"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _log(deployed: Deployed, name: str) -> Path:
    return deployed.state / "logs" / f"{name}.log"


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOCAL, 0))
        return int(probe.getsockname()[1])


@contextmanager
def _watched(deployed: Deployed, announce: Announce) -> Iterator[None]:
    """Tell, for the length of the block, when the coordinator stops answering and answers again."""
    done = threading.Event()
    reach = Reachability(
        _log(deployed, "node"), deployed.connection.address, lambda said: announce("node", "note", said)
    )

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            reach.look()

    watching = threading.Thread(target=watch, name="reachability", daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
