"""Run another engine on the standard work, in processes of its own with one thread each."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared_model.model import initial_shared

from ..ours import SEED
from ..stock_loop import NAMES
from ..work import BATCH, RATE, Work
from .flower_app import WORK

_ROOT = Path(__file__).resolve().parents[4]
_SCRIPT = Path(__file__).with_name("pfl_research.py")

PFL_SETTINGS = "SimulatedBackend, WeightByUser, minimize_reuse sampler, local SGD, central SGD at 1"
RAY_SETTINGS = "run_simulation, FedAvg, 2 Ray actors of 1 processor, data kept by the actors"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an engine says of itself.

    Attributes:
        wall: Seconds of every round.
        loss: On the test rows.
        version: Of the engine.
    """

    wall: list[float]
    loss: float
    version: str


Peer = Callable[[Path], Told]
"""`peer(folder)` does the work that `handed` wrote there."""


def handed(work: Work, folder: Path) -> None:
    """Write the standard work into a folder, for peers."""
    rows, task = [r.encoded for r in work.merchants.values()], work.tasks[0]
    terms, initial = work.contract.federation, initial_shared(work.contract, SEED)
    start: dict[str, Any] = {f"initial_{position}": initial[n] for position, n in enumerate(NAMES)}
    np.savez(
        folder / "work.npz",
        x=np.stack([r.numeric.numpy() for r in rows]),
        y=np.stack([r.labels[task].numpy() for r in rows]),
        x_test=work.test.numeric.numpy(),
        y_test=work.test.labels[task].numpy(),
        rounds=terms.rounds,
        asked=terms.asked(len(rows)),
        batch=BATCH,
        rate=RATE,
        **start,
    )


def flower(folder: Path) -> Told:
    """Run Flower's simulation on Ray."""
    return _told([sys.executable, "-m", f"{__package__}.flower_ray"], folder)


def pfl(python: Path, processes: int) -> Peer:
    """Return what runs pfl-research with an interpreter that has it."""
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [str(python), *(several if processes > 1 else []), str(_SCRIPT)]
    return lambda folder: _told([*command, str(folder / "work.npz")], folder)


def why_not_ray() -> str | None:
    """Return why Flower's simulation cannot run here, or None."""
    return None if importlib.util.find_spec("ray") else "Ray is not installed: pip install 'fedbazaar[ray]'"


def why_not_pfl(python: Path | None) -> str | None:
    """Return why pfl-research cannot run with an interpreter, or None."""
    if python is None:
        return (
            "no interpreter with pfl-research was named: --pfl-python, of an environment with pfl and torch"
        )
    tried = subprocess.run([str(python), "-c", "import pfl, torch"], capture_output=True, text=True)
    return f"{python} cannot import pfl and torch" if tried.returncode else None


def _told(command: list[str], folder: Path) -> Told:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    environment = {**os.environ, **threads, **quiet, WORK: str(folder / "work.npz"), "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"wall"')]
    if done.returncode or not lines:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
    return Told(**json.loads(lines[-1]))
