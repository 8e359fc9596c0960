"""A run that is killed, at whatever moment, and resumed ends as one that was never killed."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from server.reporting import results
from shared_model.errors import ConfigError
from simulations import runner
from simulations.backends import Backend
from simulations.commands import runs
from simulations.runner import Request
from simulations.runs import manifest, recording
from simulations.runs.manifest import Manifest

from . import experiments

HERE = Path(__file__).resolve().parents[2]
ROUNDS = 40
COMMAND = [sys.executable, "-c", "from simulations.cli import main; main()"]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    agreement = experiments.contract(federation={"rounds": ROUNDS})
    return experiments.write(tmp_path_factory.mktemp("experiment"), agreement)


@pytest.fixture(scope="module")
def undisturbed(experiment: Path) -> Path:
    """The directory of a run that nobody killed."""
    out = experiment.parent / "undisturbed"
    runner.run(Request(experiment=experiment, data=None, out=out), lambda *_: None)
    return out


def begin(*arguments: str | Path) -> "subprocess.Popen[bytes]":
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_when(happened: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Kill without warning as soon as something has happened, or when the process ended before."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and not happened() and time.monotonic() < end:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def reached(out: Path, number: int) -> Callable[[], bool]:
    """Whether the round was opened; it takes milliseconds, so the kill falls somewhere into it."""
    journal, line = out / "seed-0" / "journal.jsonl", f'"round": {number},'.encode()

    def opened() -> bool:
        lines = journal.read_bytes().splitlines() if journal.exists() else []
        return any(b'"round_opened"' in found and line in found for found in lines)

    return opened


def assert_ended_alike(out: Path, other: Path) -> None:
    mine, theirs = results.read(out / "result.json"), results.read(other / "result.json")
    assert mine.cells == theirs.cells
    assert mine.summary == theirs.summary
    assert [replace(r, seconds=0) for r in mine.rounds] == [replace(r, seconds=0) for r in theirs.rounds]
    assert len(mine.rounds) == ROUNDS
    assert experiments.same(experiments.released(out / "seed-0"), experiments.released(other / "seed-0"))


def test_a_run_killed_in_the_middle_of_a_round_ends_as_if_it_was_never_killed(
    experiment: Path, undisturbed: Path, tmp_path: Path
) -> None:
    process = begin("run", experiment, "--out", tmp_path / "out")
    kill_when(reached(tmp_path / "out", 17), process)
    assert process.returncode == -signal.SIGKILL
    runs.resume(tmp_path / "out")
    assert_ended_alike(tmp_path / "out", undisturbed)


def test_losses_that_a_kill_left_unwritten_are_made_up_for(
    experiment: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    cut_last_line(out / "seed-0" / "validation.jsonl")  # killed after the checkpoint of the last round
    runner.run(Request(experiment=experiment, data=None, out=out), lambda *_: None)
    assert_ended_alike(out, undisturbed)


def cut_last_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def test_only_a_run_directory_can_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a run directory, which the studies of `fedbazaar-sim` make"):
        runs.resume(tmp_path)


def test_a_run_is_resumed_on_its_own_backend(tmp_path: Path) -> None:
    on_ray = {"data": None, "backend": {"name": "ray", "cpus": 2}}
    begun = Manifest(
        study="run", command="", arguments=on_ray, file="tiny.toml", inputs=(), environments=({},)
    )
    manifest.write(begun, tmp_path)
    assert recording.resumed(tmp_path).request.backend == Backend(name="ray", cpus=2)


MOMENTS: dict[str, Callable[[Path], Callable[[], bool]]] = {
    "while merchants' folders are written": lambda out: (out / "merchants" / "synthetic-02").exists,
    "while data are encoded": lambda out: (out / "merchants" / "synthetic-02" / "state").exists,
    "in round 1": lambda out: reached(out, 1),
    "in round 29": lambda out: reached(out, 29),
    "in the last round": lambda out: reached(out, ROUNDS),
    "after the last round": lambda out: (
        (out / "seed-0" / "checkpoints" / f"round-{ROUNDS:06d}.safetensors").exists
    ),
}


@pytest.mark.chaos
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_run_killed_at_any_stage_ends_as_if_it_was_never_killed(
    experiment: Path, undisturbed: Path, tmp_path: Path, moment: Callable[[Path], Callable[[], bool]]
) -> None:
    process = begin("run", experiment, "--out", tmp_path / "out")
    kill_when(moment(tmp_path / "out"), process)
    assert process.returncode == -signal.SIGKILL
    runs.resume(tmp_path / "out")
    assert_ended_alike(tmp_path / "out", undisturbed)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_again_and_again_ends_as_if_it_was_never_killed(
    experiment: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    out, draw = tmp_path / "out", random.Random(seed)
    kill_when((out / "merchants").exists, begin("run", experiment, "--out", out))
    kill_repeatedly(out, kills=4, draw=draw)
    runs.resume(out)
    assert_ended_alike(out, undisturbed)


def kill_repeatedly(out: Path, *, kills: int, draw: random.Random) -> None:
    """Resume and kill, each time some rounds after the process went on."""
    for _ in range(kills):
        lines = draw.randrange(1, 20)
        kill_when(grown(out / "seed-0" / "journal.jsonl", lines), begin("resume", out))


def grown(path: Path, lines: int) -> Callable[[], bool]:
    """Whether the file has so many more lines than now."""

    def count() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    before = count()
    return lambda: count() >= before + lines
