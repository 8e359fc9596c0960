"""Other engines on the standard work, in programs of ours that hand them whatever makes them fast."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..ours import initial
from ..stock_loop import NAMES
from ..work import BATCH, RATE, Work
from .flower_app import WORK
from .processes import ROOT, WARM, Peer, Told, said, with_torch

_SCRIPT = Path(__file__).with_name("pfl_research.py")
_FILE = "work.npz"


def handed(work: Work, folder: Path) -> None:
    """Write the standard work into a folder, for peers."""
    rows, task = [r.encoded for r in work.merchants.values()], work.tasks[0]
    terms, arrays = work.contract.federation, initial(work)
    start: dict[str, Any] = {f"initial_{position}": arrays[n] for position, n in enumerate(NAMES)}
    np.savez(
        folder / _FILE,
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
    """Run Flower's simulation on Ray, with an app that its actors import, so that they keep their data."""
    return _told([sys.executable, "-m", f"{__package__}.flower_ray"], folder)


def pfl(python: Path, processes: int) -> Peer:
    """Return what runs pfl-research with an interpreter that has it."""
    command = [*with_torch(python, processes), str(_SCRIPT)]
    return lambda folder: _told([*command, str(folder / _FILE)], folder)


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


def told(line: str) -> Told:
    """Return what a program of ours said in its line of JSON.

    >>> told('{"wall": [9.0, 9.0, 0.2, 0.4, 0.3], "loss": 0.5, "name": "flwr 1"}')
    Told(name='flwr 1', seconds=0.3, loss=0.5)
    """
    found = json.loads(line)
    return Told(name=found["name"], seconds=median(found["wall"][WARM:]), loss=found["loss"])


def _told(command: list[str], folder: Path) -> Told:
    settings = {WORK: str(folder / _FILE), "PYTHONPATH": str(ROOT)}
    return told(said(command, folder, '{"wall"', settings))
