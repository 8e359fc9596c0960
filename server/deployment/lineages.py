"""The runs of a coordinator's folder: one folder a lineage, with the settings that its ServerApp gets."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from shared_model import declared, files, journal
from shared_model.errors import StateError

from ..coordinator import JOURNAL, LOCK
from ..release import RELEASED
from .history import History, told
from .market import Market


@dataclass(frozen=True)
class Run:
    """One training of the contract, from its first round to the release, in as many Flower runs as it takes.

    Attributes:
        directory: With journal, checkpoints and, in the end, the released file; its name is the lineage.
    """

    directory: Path

    @property
    def lineage(self) -> str:
        """Names this training towards everybody."""
        return self.directory.name

    @property
    def journal(self) -> Path:
        """What happened."""
        return self.directory / JOURNAL

    @property
    def released(self) -> Path:
        """The released arrays, once there are any."""
        return self.directory / RELEASED

    @property
    def lock(self) -> Path:
        """Held by the ServerApp that works on it."""
        return self.directory / LOCK

    @property
    def settings(self) -> Path:
        """What the ServerApp is told, as Flower's run config."""
        return self.directory / "run.toml"

    @property
    def flower_run(self) -> int:
        """Id of the last Flower run that worked on it; 0 for none."""
        try:
            return int(self._identity.read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def remember(self, identity: int) -> None:
        """Note which Flower run works on it."""
        files.write(self._identity, f"{identity}\n".encode())

    def history(self) -> History:
        """Return what happened so far.

        Raises:
            StateError: The journal was changed.
        """
        return told(journal.read(self.journal))

    @property
    def _identity(self) -> Path:
        return self.directory / "flower-run"


@dataclass(frozen=True)
class Origin:
    """What a training begins with.

    Attributes:
        seed: Of the initial model.
        start: Absolute path of a file of arrays to begin with instead; empty for none.
    """

    seed: int
    start: str = ""


def all_of(market: Market) -> Sequence[Run]:
    """Return the runs, oldest first."""
    return [Run(path.parent) for path in sorted(market.runs.glob("*/run.toml"))]


def unfinished(market: Market) -> Run | None:
    """Return the newest run where it did not come to its release, or None.

    Older ones do not count: whoever began another with `run --new` left them.

    Raises:
        StateError: A journal was changed.
    """
    newest = next(reversed(all_of(market)), None)
    return None if newest is None or newest.history().is_finished else newest


def new(market: Market) -> Run:
    """Return a run with a new lineage; names are in order of time."""
    lineage = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    directory = market.runs / lineage
    market.runs.mkdir(mode=0o700, exist_ok=True)  # merchants' arrays are nobody else's business
    directory.mkdir()
    return Run(directory)


def write_settings(
    market: Market, run: Run, origin: Origin, *, wait_members: int, wait_seconds: float
) -> None:
    """Write what the ServerApp is told; all paths are absolute and those of today."""
    settings = {
        "contract": str(market.contract),
        "run-directory": str(run.directory),
        "members": str(market.members),
        "lineage": run.lineage,
        "seed": origin.seed,
        "start": origin.start,
        "signing-key": str(market.signing_key),
        "doorman": str(market.poke_socket) if market.settings.doorman else "",
        "ledgers": str(market.ledgers),
        "wait-members": wait_members,
        "wait-seconds": float(wait_seconds),
    }
    files.write(run.settings, tomli_w.dumps(settings).encode())


def origin_of(run: Run) -> Origin:
    """Return what a run began with.

    Raises:
        StateError: Its settings are damaged.
    """
    found: Any = declared.read_toml(run.settings)
    seed, start = found.get("seed"), found.get("start", "")
    if not isinstance(seed, int) or not isinstance(start, str):
        raise StateError(f"{run.settings} holds no seed: put the one back with which the run began.")
    return Origin(seed, start)
