"""One town that stays up for many tests, and disks that a test can fill."""

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment.town import Town, difference, kill, town_of, wait_at_work
from tests.integration import experiments

TERMS = {
    "rounds": 3,
    "full_batch": False,
    "expected_batch": 8,
    "local_steps": 400,
    "deadline_seconds": 240.0,
}
"""A round trains for seconds, so that it can be hit in the middle, and waits until a killed node is back."""


def contract() -> dict[str, object]:
    return experiments.contract(federation=TERMS, local={"learning_rate": 0.05})


@dataclass(frozen=True)
class Disk:
    """A folder on a disk of a few megabytes."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """Leave not a byte free."""
        try:
            with self._ballast.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


@dataclass(frozen=True)
class Disks:
    """Where tests may fill a disk: the coordinator's runs, and the state of the second merchant."""

    runs: Disk
    state: Disk


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Town, Disks | None]]:
    """A coordinator behind the embedded proxy and three connected merchants; with disks where allowed."""
    town = town_of(tmp_path_factory.mktemp("town"), contract(), merchants=3)
    mounted: list[Path] = []
    try:
        with town.deployment as deployment:
            deployment.begin(town.site.contract, proxy="embedded")
            runs, state = deployment.market / "runs", town.shop(town.names[1]).state
            for folder in (runs, state):
                folder.mkdir(parents=True, exist_ok=True)
                if mount(folder):
                    mounted.append(folder)
            town.invite()
            town.open()
            yield town, Disks(Disk(runs), Disk(state)) if len(mounted) == 2 else None
    finally:
        for folder in mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path) -> bool:
    """Put a folder on a disk of its own, of eight megabytes, where this user may."""
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    return os.geteuid() == 0 and not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.fixture(scope="session")
def town(standing: tuple[Town, Disks | None]) -> Town:
    return standing[0]


@pytest.fixture
def disks(standing: tuple[Town, Disks | None]) -> Iterator[Disks]:
    found = standing[1]
    if found is None:
        pytest.skip("this user may not mount a small disk")
    yield found
    found.runs.free()
    found.state.free()


@dataclass(frozen=True)
class Killed:
    """A run in which processes of merchants were killed while they were needed.

    Attributes:
        lineage: Of the run.
        events: Its journal.
        difference: Of its released model from that of an undisturbed training.
    """

    lineage: str
    events: list[dict[str, object]]
    difference: float


@pytest.fixture(scope="session")
def killed(town: Town) -> Killed:
    """In round 1 a node and a bridge are killed at work, in round 2 an agent."""
    first, second, third = town.shops
    run = town.run()
    before = town.directory.name
    town.wait_opened(1, before=before)
    wait_at_work(first, second)
    kill(first.process("node"))
    kill(second.process("bridge"))
    town.wait_opened(2)
    wait_at_work(third)
    kill(third.process("agent"))
    town.ended(run, 600)
    apart = difference(town.released, town.simulated())
    return Killed(town.directory.name, town.journal, apart)
