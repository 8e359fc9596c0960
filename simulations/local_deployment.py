"""A real deployment on this machine: coordinator and merchants as the processes that they are in production.

Everything goes through the three commands, as a person would type them, so whoever builds on this module (the
benchmark, the tests of faults) tries the product and not a part of it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from server.deployment.market import load
from server.deployment.superlink import is_up
from shared_model.errors import StateError

_POLL_SECONDS = 0.2
_STOP_SECONDS = 30.0


@dataclass
class LocalDeployment:
    """One coordinator and its merchants in one folder; a context manager that leaves no process behind.

    Attributes:
        folder: Absolute; `market/` is the coordinator's, `shops/NAME/` a merchant's, `output/` what the
            commands print.
        processes: Those that are running, by name: `coordinator`, or the merchant's.
    """

    folder: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _files: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "LocalDeployment":
        (self.folder / "output").mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self.processes)):
            self.stop(name)
        self._files.close()

    @property
    def market(self) -> Path:
        """The coordinator's folder."""
        return self.folder / "market"

    def shop(self, name: str) -> Path:
        """Return a merchant's folder."""
        return self.folder / "shops" / name

    # --- before anything runs -------------------------------------------------------------------------------

    def begin(self, contract: Path, *, host: str = "localhost", **settings: str | int | bool) -> None:
        """Make the coordinator's folder.

        Args:
            contract: To agree on.
            host: Under which merchants reach the coordinator.
            settings: Lines of its `coordinator.toml`.
        """
        self.call("fedbazaar-server", "init", self.market, "--contract", contract, "--address",
                  f"{host}:{free_port()}")  # fmt: skip
        file = self.market / "coordinator.toml"
        kept = [line for line in file.read_text().splitlines() if line.split("=")[0].strip() not in settings]
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        file.write_text("\n".join([*lines, *kept]) + "\n")

    def invite(self, name: str) -> Path:
        """Let a merchant join whose `merchant.toml` lies in its folder; return its public key's file."""
        self.call("fedbazaar-client", "init", self.shop(name), "--invitation", self.market / "invitation",
                  "--name", name)  # fmt: skip
        return next(self.shop(name).rglob("*.pub"))

    def enroll(self, name: str, *options: str) -> None:
        """Enrol a merchant that was invited."""
        key = next(self.shop(name).rglob("*.pub"))
        self.call("fedbazaar-server", "enroll", self.market, key, "--name", name, *options)

    # --- processes ------------------------------------------------------------------------------------------

    def start_coordinator(
        self, *, seconds: float = 90.0, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `fedbazaar-server up` and wait until the SuperLink answers."""
        self._start("coordinator", ["fedbazaar-server", "up", self.market], environment)
        market = load(self.market)
        wait_until(lambda: is_up(market), seconds, "the SuperLink", self._alive("coordinator"))

    def start_merchant(
        self,
        name: str,
        *options: str,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        """Start `fedbazaar-client up` of one merchant; `wait_online` waits for it.

        Args:
            name: The merchant's.
            options: Of the command.
            environment: Added to this process's own.
            before: Words before the command, such as `ip netns exec NAME`.
        """
        self._start(name, ["fedbazaar-client", "up", self.shop(name), *options], environment, before)

    def wait_online(self, *names: str, seconds: float = 120.0) -> None:
        """Wait until the coordinator sees these merchants."""
        wait_until(lambda: set(names) <= self.online(), seconds, f"{', '.join(names)} online")

    def online(self) -> set[str]:
        """Return the names of the merchants that the coordinator sees."""
        return {member["name"] for member in self.status()["members"] if member["node"] == "online"}

    def status(self) -> dict[str, Any]:
        """Return what `fedbazaar-server status --json` prints."""
        found: dict[str, Any] = json.loads(self.call("fedbazaar-server", "status", self.market, "--json"))
        return found

    def run(self, *options: str, command: str = "run") -> "subprocess.Popen[bytes]":
        """Start `fedbazaar-server run` (or `resume`) and return the process."""
        begun = len(list((self.folder / "output").glob(f"{command}-*.txt")))
        return self._start(f"{command}-{begun + 1}", ["fedbazaar-server", command, self.market, *options])

    def said(self, process: "subprocess.Popen[bytes]") -> str:
        """Return what a process that runs has printed."""
        return next(self.output(name) for name, found in self.processes.items() if found is process)

    def journal(self) -> list[dict[str, Any]]:
        """Return the events of the newest run, those that are whole by now."""
        found = sorted((self.market / "runs").glob("*/journal.jsonl"), key=lambda p: p.stat().st_mtime)
        if not found:
            return []
        lines = found[-1].read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind of the newest run."""
        return [line for line in self.journal() if line["event"] == kind]

    def stop(self, name: str, *, number: int = signal.SIGTERM) -> None:
        """Stop one of the commands that were started."""
        process = self.processes.pop(name)
        with suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def output(self, name: str) -> str:
        """Return what one of the commands that were started has printed."""
        return (self.folder / "output" / f"{name}.txt").read_text(errors="replace")

    def call(self, program: str, *arguments: str | Path) -> str:
        """Run one of the commands to its end and return what it printed.

        Raises:
            StateError: It failed; with what it said.
        """
        ran = subprocess.run(
            [command(program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise StateError(f"{program} {arguments[0]} failed: {ran.stderr.strip() or ran.stdout}")
        return ran.stdout

    def _start(
        self,
        name: str,
        told: list[str | Path],
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
    ) -> "subprocess.Popen[bytes]":
        output: IO[bytes] = self._files.enter_context((self.folder / "output" / f"{name}.txt").open("ab"))
        program, *arguments = told
        process = subprocess.Popen(
            [*before, command(str(program)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        self.processes[name] = process
        return process

    def _alive(self, name: str) -> Callable[[], None]:
        def check() -> None:
            if self.processes[name].poll() is not None:
                raise StateError(f"{name} ended: {self.output(name)[-2000:]}")

        return check


def command(program: str) -> str:
    """Return the path of one of our commands, beside our own interpreter."""
    return str(Path(sys.executable).with_name(program))


def free_port() -> int:
    """Return a TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(
    condition: Callable[[], bool], seconds: float, what: str, check: Callable[[], None] = lambda: None
) -> None:
    """Wait until `condition` holds; `check` may raise where it never will.

    Raises:
        StateError: It does not after `seconds`.
    """
    end = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() >= end:
            raise StateError(f"Waited {seconds:g} s in vain for {what}.")
        time.sleep(_POLL_SECONDS)
