"""The competitors as the scripts of `../shared/peers` run them: what the targets are about.

That folder is beside the repository where the project is measured, and absent elsewhere. Its `common.py`
makes rows and says how long a round took; `flb.py` is Flower's simulation, `pflb.py` is pfl-research. They
run as they are. Ours is then given the rows and the first weights of `common.py`, so that losses can be
compared; with first weights of our own they differ by 1.8 % after 20 rounds.

`flb.py` means to read its data once for each actor. It does so once for each message: its ClientApp is
defined in `__main__`, cloudpickle therefore sends it by value with every message, and what it remembers in a
global is empty in each copy. Counted over 20 rounds of 20 messages on two idle cores: its two actors made the
rows 199 and 201 times, at 33 ms each, and a round took 515 ms. With the same app in a module that actors
import they made them once each, and a round took 209 to 310 ms. So it goes with every app that stands in the
script that is run; it is no property of Flower, and `engines.ray_imported` (`runs.flower`) is reported
beside it. Without any training (`flb_noop.py`) a round still takes 511 ms; rounds come in steps of 100 ms,
since that is how often Flower's grid looks for replies.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..stock_loop import NAMES
from ..work import BATCH, HIDDEN, RATE, Work, standard_on
from .processes import ROOT, Peer, Told, said, with_torch

FOLDER = ROOT.parent / "shared" / "peers"

MERCHANTS, ASKED, ROWS = 64, 20, 500

_NEEDED = ("common.py", "flb.py", "pflb.py")

_DRAW = """
import json, sys
import numpy
import common
names = ("x", "y", "x_test", "y_test")
parameters = {f"initial_{n}": p.detach().numpy() for n, p in enumerate(common.make_model().parameters())}
numpy.savez(sys.argv[1], **dict(zip(names, common.make_data())), **parameters)
print("TERMS " + json.dumps([common.COHORT, common.BATCH, common.LR, common.H, common.ROUNDS]))
"""


def why_not(folder: Path = FOLDER) -> str | None:
    """Return why the scripts cannot run here, or None."""
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    return f"{', '.join(missing)} not found in {folder}" if missing else None


def work(rounds: int, into: Path, scripts: Path = FOLDER) -> Work:
    """Return the standard work on the rows that the scripts train on, from the weights that they begin with.

    Args:
        rounds: Of the training.
        into: A folder to work in.
        scripts: Where the scripts are.

    Raises:
        RuntimeError: The scripts do not do the standard work.
    """
    drawn = into / "drawn.npz"
    line = said([sys.executable, "-c", _DRAW, str(drawn)], into, "TERMS ", _settings(rounds, scripts))
    found, rows = json.loads(line.partition(" ")[2]), dict(np.load(drawn))
    expected = [ASKED, BATCH, RATE, HIDDEN[0], rounds]
    shape = rows["x"].shape[:2]
    if found != expected or shape != (MERCHANTS, ROWS):
        raise RuntimeError(
            f"{scripts} does other work: {shape} rows, {found}; expected {(MERCHANTS, ROWS)}, {expected}."
        )
    rows |= {name: rows[name][..., 0] for name in ("y", "y_test")}
    initial = {name: rows[f"initial_{position}"] for position, name in enumerate(NAMES)}
    return standard_on(rows, initial, rounds=rounds, asked=ASKED)


def flower(rounds: int, scripts: Path = FOLDER) -> Peer:
    """Return what runs Flower's simulation, two Ray actors, the app in the script."""
    return _peer([sys.executable, str(scripts / "flb.py")], rounds, scripts)


def pfl(python: Path, processes: int, rounds: int, scripts: Path = FOLDER) -> Peer:
    """Return what runs pfl-research, with an interpreter that has it, one thread a process."""
    return _peer([*with_torch(python, processes), str(scripts / "pflb.py"), "1"], rounds, scripts)


def told(line: str) -> Told:
    """Return what `common.report` said; it leaves out the first two rounds as well.

    >>> told('RESULT {"name": "pfl", "ms_round_median": 50.0, "loss": 0.4, "auc": 0.9}')
    Told(name='pfl', seconds=0.05, loss=0.4)
    """
    found: dict[str, Any] = json.loads(line.partition(" ")[2])
    return Told(name=found["name"], seconds=found["ms_round_median"] / 1000, loss=found["loss"])


def _peer(command: list[str], rounds: int, scripts: Path) -> Peer:
    return lambda folder: told(said(command, folder, "RESULT ", _settings(rounds, scripts)))


def _settings(rounds: int, scripts: Path) -> dict[str, str | None]:
    """Return the environment in which the scripts do the standard work, whatever is set around us."""
    standard = dict.fromkeys(("NCL", "ROWS", "HID", "COHORT", "T0"))
    return {**standard, "ROUNDS": str(rounds), "PYTHONPATH": str(scripts)}
