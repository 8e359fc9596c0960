"""Ray trains the same federation as one process does; starting it is left to tests marked `ray`."""

import gc
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO, NamedTuple

import numpy as np
import pytest

from shared_model import journal
from shared_model.errors import AggregationError, ConfigError
from shared_model.protocol import SharedArrays
from simulations import ray_backend, runner
from simulations.backends import Backend, train_on
from simulations.runner import Request

from ..integration import experiments

HERE = Path(__file__).resolve().parents[2]


def test_where_ray_is_not_installed_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'fedbazaar\[ray\]'"):
        train_on(Backend(name="ray"))


def test_a_merchant_cannot_occupy_more_processors_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match="--cpus is 3; allowed: 1 to 2"):
        train_on(Backend(name="ray", cpus=3))


def test_neither_flower_nor_ray_tells_anybody_that_it_is_used() -> None:
    program = (
        "import os, simulations, flwr.supercore.telemetry as flower;"
        "print(flower.FLWR_TELEMETRY_ENABLED, os.environ['RAY_USAGE_STATS_ENABLED'])"
    )
    quiet = {
        n: v for n, v in os.environ.items() if n not in ("FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED")
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HERE, env=quiet, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "0"]


def test_ray_has_as_many_processors_as_the_cluster_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    found = SimpleNamespace(
        init=lambda address, logging_level: asked.append(address),
        cluster_resources=lambda: {"CPU": 96.0},
        shutdown=lambda: asked.append("left"),
    )
    monkeypatch.setitem(sys.modules, "ray", found)  # type: ignore[arg-type]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    assert ray_backend._place() == ("10.0.0.7:6379", 96)
    assert asked == ["10.0.0.7:6379", "left"]


def test_where_no_cluster_answers_at_the_address_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=nobody))  # type: ignore[arg-type]
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.7:6379")
    with pytest.raises(AggregationError, match=r"RAY_ADDRESS is 10\.0\.0\.7:6379"):
        ray_backend._place()


def test_without_a_cluster_ray_has_the_processors_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=nobody))  # type: ignore[arg-type]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert ray_backend._place() == (None, os.cpu_count() or 1)


def nobody(address: str, logging_level: int) -> None:
    raise ConnectionError


class Cluster(NamedTuple):
    """A cluster on this machine, which no training started."""

    address: str
    logs: Path

    def workers(self) -> set[str]:
        """Return the logs of processes that worked for somebody."""
        return {path.name for path in self.logs.glob("worker-*.out") if "-ffffffff-" not in path.name}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """What `ray start` makes: a head with two processors and a node with one, like another machine."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: sockets lie in it
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = ["--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false", "--num-cpus=2"]
    with (folder / "said").open("w") as said:
        nodes = [started(head, said)]
        try:
            wait_until(lambda: (folder / "said").read_text().count("Ray runtime started") == 1)
            nodes.append(started([f"--address=127.0.0.1:{port}", "--num-cpus=1"], said))
            wait_until(lambda: (folder / "said").read_text().count("Ray runtime started") == 2)
            yield Cluster(address=f"127.0.0.1:{port}", logs=folder / "session_latest" / "logs")
        finally:
            for node in reversed(nodes):
                node.terminate()
                node.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


def started(options: list[str], said: IO[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    return subprocess.Popen([*command, *options], stdout=said, stderr=said)


@pytest.fixture
def swept() -> Iterator[None]:
    """Ray forgets processes that it stopped without waiting for them; their warnings end with the test."""
    yield
    gc.collect()


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("swept")
def test_cohorts_on_ray_and_a_loop_in_one_process_release_the_same_arrays(tmp_path: Path) -> None:
    site = experiments.site(tmp_path)
    arguments = {"lineage": "parity", "seed": 0}
    alone, together = Backend(engine="loop"), Backend(name="ray", engine="vectorised")
    here = train_on(alone)(site, directory=tmp_path / "here", **arguments)  # type: ignore[arg-type]
    experiments.forget(site)
    there = train_on(together)(site, directory=tmp_path / "there", **arguments)  # type: ignore[arg-type]
    assert there.keys() == here.keys()
    assert max(np.abs(there[name] - here[name]).max() for name in here) < 1e-6
    assert closed(tmp_path / "there") == closed(tmp_path / "here")


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("swept")
def test_the_cluster_that_is_named_trains_and_runs_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    assert ray_backend._place() == (cluster.address, 3)
    assert trained(tmp_path)
    assert len(cluster.workers()) >= 3
    assert ray_backend._place() == (cluster.address, 3)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("swept")
def test_a_cluster_on_this_machine_is_found_without_being_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert trained(tmp_path)
    assert len(cluster.workers()) >= 3


@pytest.mark.ray
def test_ctrl_c_stops_a_training_on_ray_and_another_backend_can_go_on(tmp_path: Path) -> None:
    experiment = experiments.write(tmp_path, experiments.contract(federation={"rounds": 60}))
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from simulations.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "run", str(experiment), "--backend", "ray", "--out", str(out)],
        cwd=HERE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=partial(
            signal.signal, signal.SIGINT, signal.SIG_DFL
        ),  # ignored where tests run in background
    )
    wait_until(lambda: len(closed(out / "seed-0")) >= 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert len(closed(out / "seed-0")) < 60
    result = runner.run(Request(experiment=experiment, data=None, out=out), lambda *_: None)
    assert [r.accepted for r in result.rounds] == [3] * 60


def trained(folder: Path) -> SharedArrays:
    site = experiments.site(folder)
    return train_on(Backend(name="ray"))(site, directory=folder / "run", lineage="cluster", seed=0)


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not happened() and time.monotonic() < end:
        time.sleep(0.1)


def closed(directory: Path) -> list[tuple[int, list[str]]]:
    lines = journal.read(directory / "journal.jsonl")
    return [(line["round"], line["accepted"]) for line in lines if line["event"] == "round_closed"]
