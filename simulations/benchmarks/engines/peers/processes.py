"""Run a program of another engine: a process of its own, one thread, nothing of ours in its way."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]

WARM = 2
"""Rounds that are not counted: memory is found and headers are remembered."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_HERE = {"RAY_ADDRESS": None}
"""A peer works on this machine, whatever cluster there is."""

_QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an engine says of itself.

    Attributes:
        name: Of the engine, with its version.
        seconds: Of a round, the median without the first `WARM`.
        loss: On the test rows.
    """

    name: str
    seconds: float
    loss: float


Peer = Callable[[Path], Told]
"""`peer(folder)` does the work that `handed` wrote there."""


def with_torch(python: Path, processes: int) -> list[str]:
    """Return the beginning of a command that runs a script in some processes, which find each other."""
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [str(python), *(several if processes > 1 else [])]


def said(command: Sequence[str], folder: Path, starts: str, settings: Mapping[str, str | None]) -> str:
    """Run a command in a folder; return its last line that starts so.

    Args:
        command: Program and arguments.
        folder: Where it works.
        starts: Of the line that counts.
        settings: Variables of its environment; None takes one out.

    Raises:
        RuntimeError: The command failed, or said no such line.
    """
    wanted = {**os.environ, **_ONE_THREAD, **_QUIET, **_HERE, **settings}
    environment = {name: value for name, value in wanted.items() if value is not None}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith(starts)]
    if done.returncode or not lines:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return lines[-1]
