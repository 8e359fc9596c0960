"""Flower's own command line, the only way in which this package speaks to a SuperLink.

Every call is a process with a time-out; what it says wrong becomes one readable error.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared_model import files
from shared_model.errors import ConfigError, StateError

CONNECTION = "market"
"""Name under which Flower's configuration knows the SuperLink."""

SUPPORTED = "1.41"
_SECONDS = 60.0
_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
_IN_USE = "already in use"


@dataclass(frozen=True)
class Node:
    """A registered node.

    Attributes:
        identity: Flower's id.
        status: `registered`, `online`, `offline` or `unregistered`.
    """

    identity: int
    status: str


@dataclass(frozen=True)
class FlowerRun:
    """A run as the SuperLink knows it.

    Attributes:
        identity: Flower's id.
        status: Such as `running` or `finished:failed`.
        details: Why, where Flower says so.
    """

    identity: int
    status: str
    details: str

    @property
    def is_over(self) -> bool:
        """Whether its ServerApp has ended, well or not."""
        return self.status.startswith("finished")


class KeyInUse(StateError):
    """The SuperLink knows this public key already."""


def check_version() -> None:
    """Require the version of Flower whose commands and internals this package knows.

    Raises:
        ConfigError: Another one is installed.
    """
    found = version("flwr")
    if not found.startswith(f"{SUPPORTED}."):
        raise ConfigError("flwr", "version", found, f"{SUPPORTED}.*: pip install 'flwr=={SUPPORTED}.*'")


def environment(home: Path) -> dict[str, str]:
    """Return the environment of Flower's processes: offline, with their files in `home`."""
    own = str(Path(sys.executable).parent)
    return os.environ | _QUIET | {"FLWR_HOME": str(home), "PATH": f"{own}:{os.environ.get('PATH', '')}"}


def program(name: str) -> Path:
    """Return the path of a program of Flower, beside our own interpreter."""
    return Path(sys.executable).with_name(name)


def write_connection(home: Path, *, address: str, ca: Path) -> None:
    """Tell Flower's commands where the SuperLink is and which authority vouches for it."""
    text = (
        f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
        f"address = {json.dumps(address)}\nroot-certificates = {json.dumps(str(ca))}\n"
    )
    files.write(home / "config.toml", text.encode(), durable=False)


def register(home: Path, public_key: Path, name: str) -> int:
    """Register a node's public key under `name`; return the node's id.

    Raises:
        KeyInUse: The SuperLink knows the key already, perhaps as one that was withdrawn.
        StateError: The SuperLink cannot be reached or refuses.
    """
    told = ["supernode", "register", str(public_key), CONNECTION, "--name", name]
    return int(_asked(home, told)["node-id"])


def unregister(home: Path, identity: int) -> None:
    """Unregister a node, for ever: Flower never takes its key again.

    Raises:
        StateError: The SuperLink cannot be reached or refuses.
    """
    _asked(home, ["supernode", "unregister", str(identity), CONNECTION])


def nodes(home: Path) -> list[Node]:
    """Return all nodes that were ever registered.

    Raises:
        StateError: The SuperLink cannot be reached.
    """
    found = _asked(home, ["supernode", "ls", CONNECTION, "--verbose"])["nodes"]
    return [Node(int(node["node-id"]), str(node["status"])) for node in found]


def start_run(home: Path, app: Path, run_config: Path) -> int:
    """Submit the app with the settings in the TOML file `run_config`; return the run's id.

    Raises:
        StateError: The SuperLink cannot be reached or refuses.
    """
    return int(_asked(home, ["run", str(app), CONNECTION, "--run-config", str(run_config)])["run-id"])


def runs(home: Path, *, identity: int | None = None, limit: int = 20) -> list[FlowerRun]:
    """Return one run, or the last ones, newest first.

    Raises:
        StateError: The SuperLink cannot be reached, or knows no such run.
    """
    which = ["--limit", str(limit)] if identity is None else ["--run-id", str(identity)]
    found = _asked(home, ["ls", CONNECTION, *which])["runs"]
    return [FlowerRun(int(run["run-id"]), run["status"], run.get("status-details", "")) for run in found]


def log(home: Path, identity: int) -> str:
    """Return what a run's ServerApp wrote, as far as the SuperLink has it; empty where it cannot say."""
    try:
        return _ran(home, ["log", str(identity), CONNECTION, "--show"]).stdout
    except StateError:
        return ""


def _asked(home: Path, arguments: Sequence[str]) -> Mapping[str, Any]:
    """Run one command of Flower and return the JSON that it prints."""
    ran = _ran(home, [*arguments, "--format", "json"])
    said = _json(ran.stdout)
    if ran.returncode == 0 and said.get("success", False):
        return said
    reason = _reason(said, ran)
    if _IN_USE in reason:
        raise KeyInUse(reason)
    raise StateError(f"`flwr {' '.join(arguments[:2])}` failed: {reason}")


def _ran(home: Path, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    command = [str(program("flwr")), *arguments]
    try:
        return subprocess.run(
            command, cwd=home, env=environment(home), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StateError(
            f"The SuperLink did not answer `flwr {arguments[0]}` in {_SECONDS:g} s. Look into state/logs/."
        ) from None
    except FileNotFoundError:
        raise StateError(f"{command[0]} is missing: install fedbazaar and flwr together again.") from None


def _json(output: str) -> Mapping[str, Any]:
    """Return the JSON object in `output`, whatever stands before it; empty where there is none."""
    start = output.find("{")
    try:
        found = json.JSONDecoder().raw_decode(output[start:])[0] if start >= 0 else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(said: Mapping[str, Any], ran: "subprocess.CompletedProcess[str]") -> str:
    text = str(said.get("error-message") or ran.stderr or ran.stdout)
    lines = [line.strip(" \t│╭╮╰╯─") for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()]
    return " ".join(line for line in lines if line)[:500] or f"exit code {ran.returncode}"
