"""A real deployment for tests: its merchants, what they did, and the same training without a network.

Everything is read from where a person would look: journals, the released file, what the commands print.
"""

import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from client.agent.record import journal_file
from client.agent.stub import owner_status
from server.coordinator import RoundSummary
from server.release import RELEASED
from shared_model import journal
from shared_model.files import read_tensors
from shared_model.privacy.ledger import read_charges
from shared_model.protocol import SharedArrays
from shared_model.schema import load_federation
from simulations import federated
from simulations.engines import Engine
from simulations.federated import Site
from simulations.local_deployment import LocalDeployment, wait_until
from tests.integration import experiments

SEED = 0
TIER = "small"
TOLERANCE = 1e-6
"""Largest difference of a number from the same training in one process: over a network answers arrive in any
order, and a sum of floating-point numbers depends on it in its last bits."""

Process = psutil.Process | subprocess.Popen[bytes]


@dataclass(frozen=True)
class Shop:
    """A merchant's folder."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "agent.sock"

    @property
    def events(self) -> list[dict[str, Any]]:
        return journal.read(journal_file(self.state))

    def trained(self, lineage: str) -> dict[int, int]:
        """Round -> how often it was trained."""
        lines = self.events
        return Counter(e["round"] for e in lines if e["event"] == "trained" and e["lineage"] == lineage)

    def refusals(self) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == "refused"]

    def is_at_work(self) -> bool:
        told = owner_status(self.state)
        return bool(told and told["at_work"])

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger" / "ledger.jsonl"

    @property
    def charges(self) -> list[tuple[str, int]]:
        """What every charge of the ledger is for, and its round, oldest first."""
        return [(charge.what, charge.round) for charge in read_charges(self.ledger)]

    def process(self, name: str) -> psutil.Process:
        """The agent, the bridge or the node."""
        return psutil.Process(int((self.state / "logs" / f"{name}.pid").read_text()))

    def log(self, name: str) -> str:
        return (self.state / "logs" / f"{name}.log").read_text(errors="replace")


@dataclass(frozen=True)
class Town:
    """A coordinator and merchants, not yet or already running.

    Attributes:
        deployment: Their processes.
        site: The same merchants' files for a simulation, untouched by the deployment.
    """

    deployment: LocalDeployment
    site: Site

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.site.merchants)

    def shop(self, name: str) -> Shop:
        return Shop(self.deployment.shop(name))

    @property
    def shops(self) -> list[Shop]:
        return [self.shop(name) for name in self.names]

    @property
    def is_private(self) -> bool:
        return load_federation(self.site.contract).privacy is not None

    def everybody_in(self, *rounds: int) -> dict[int, list[str]]:
        """Return `accepted` of a run in which no answer was lost."""
        return {number: list(self.names) for number in rounds}

    @property
    def log_folder(self) -> Path:
        return self.deployment.market / "state" / "logs"

    def superlink(self) -> psutil.Process:
        return psutil.Process(int((self.log_folder / "superlink.pid").read_text()))

    # --- to begin -------------------------------------------------------------------------------------------

    def invite(self, tiers: Mapping[str, str] | None = None) -> None:
        """Invite and enrol every merchant of the site; those that `tiers` does not name in the usual tier."""
        for name, file in self.site.merchants.items():
            shutil.copytree(file.parent, self.deployment.shop(name), dirs_exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.deployment.invite, self.names))
        for name in self.names:
            self.deployment.enroll(name, "--tier", (tiers or {}).get(name, TIER))

    def open(self) -> None:
        """Start everybody, and wait until the merchants are connected."""
        self.deployment.start_coordinator()
        for name in self.names:
            self.start(name)
        self.wait_connected()

    def start(self, name: str, *options: str, **how: Any) -> None:
        """Start a merchant; its draws can be repeated unless the contract has privacy."""
        seed = () if self.is_private else ("--seed", str(SEED))
        self.deployment.start_merchant(name, *seed, *options, **how)

    def wait_connected(self, *names: str, times: int = 1, seconds: float = 150.0) -> None:
        """Wait until these merchants' screens, of all by default, said so many times that they are."""
        for name in names or self.names:
            self.wait_said(name, "node    ready", times=times, seconds=seconds)

    def wait_said(self, name: str, text: str, *, times: int = 1, seconds: float = 90.0) -> None:
        """Wait until one of the commands has printed a text so many times."""
        wait_until(
            lambda: self.deployment.output(name).count(text) >= times,
            seconds,
            f"{name} to say {text!r}; it said: {self.deployment.output(name)}",
        )

    # --- runs -----------------------------------------------------------------------------------------------

    def run(self, *options: str, command: str = "run") -> "subprocess.Popen[bytes]":
        """Start a new `run`, or `resume`; either waits for all merchants unless the options say otherwise."""
        waiting = () if "--wait-members" in options else ("--wait-members", str(len(self.names)))
        new = ("--new",) if command == "run" else ()
        return self.deployment.run(*new, *waiting, *options, command=command)

    def ended(self, process: "subprocess.Popen[bytes]", seconds: float = 240.0) -> str:
        """Wait for the end of a `run`, which ends well, and of the fits after it; return what it printed."""
        assert process.wait(seconds) == 0, self.deployment.said(process)
        wait_until(lambda: not any(shop.is_at_work() for shop in self.shops), seconds, "the end of all fits")
        return self.deployment.said(process)

    def wait_event(self, kind: str, *, seconds: float = 120.0, lineage: str = "", **facts: Any) -> None:
        """Wait until a run that is not `lineage` has noted an event with these facts."""

        def noted() -> bool:
            if self.directory.name == lineage:
                return False
            return any(facts.items() <= event.items() for event in self.events(kind))

        wait_until(noted, seconds, f"{kind} {facts} in the newest run's journal")

    def wait_opened(self, number: int, *, before: str = "") -> None:
        """Wait until a round is being asked for, in a run that is not `before`."""
        self.wait_event("round_opened", round=number, lineage=before)

    @property
    def journal(self) -> list[dict[str, Any]]:
        """Of the newest run."""
        return journal.read(self.directory / "journal.jsonl")

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of one kind of the newest run."""
        return [event for event in self.journal if event["event"] == kind]

    @property
    def directory(self) -> Path:
        """Of the newest run; `runs` where there is none."""
        runs = self.deployment.market / "runs"
        return max((path.parent for path in runs.glob("*/run.toml")), default=runs)

    @property
    def released(self) -> SharedArrays:
        tensors, _ = read_tensors(self.directory / RELEASED)
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    def simulated(self, *, receivers: tuple[str, ...] = (), engine: Engine = "loop") -> SharedArrays:
        """What the newest run would have released in one process, undisturbed."""

        def check(summary: RoundSummary) -> None:
            assert not summary.refused, summary

        site = replace(self.site, contract=self.deployment.market / "federation.toml")
        lineage = self.directory.name
        with one_thread():
            return federated.train(
                site,
                directory=self.site.contract.parent / f"simulated-{engine}-{lineage}",
                lineage=lineage,
                seed=SEED,
                receivers=receivers,
                on_round=check,
                engine=engine,
            )


def town_of(folder: Path, agreement: Mapping[str, Any], *, merchants: int) -> Town:
    """Return a town whose merchants' data are written, and nothing else."""
    site = experiments.site(folder / "site", agreement, merchants=merchants)
    return Town(LocalDeployment(folder), site)


def accepted(events: list[dict[str, Any]]) -> dict[int, list[str]]:
    """Round -> whose answers were used, of a journal in which every round was closed once."""
    closed = [event for event in events if event["event"] == "round_closed"]
    assert len({event["round"] for event in closed}) == len(closed), closed
    return {event["round"]: event["accepted"] for event in closed}


def difference(a: SharedArrays, b: SharedArrays) -> float:
    """Largest difference between two numbers of the same place."""
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in one thread, as agents do; on a busy machine it is ten times as fast."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def below(process: psutil.Process, word: str) -> list[psutil.Process]:
    """Living descendants of a process with a word in their command."""
    return [found for found in process.children(recursive=True) if word in " ".join(found.cmdline())]


def kill(process: Process) -> None:
    """End a process without warning."""
    os.kill(process.pid, signal.SIGKILL)


def wait_at_work(*shops: Shop, seconds: float = 60.0) -> None:
    """Wait until all of these train at this moment."""
    wait_until(lambda: all(shop.is_at_work() for shop in shops), seconds, "merchants at work")


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    """Whether none of these is alive."""
    return lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)
