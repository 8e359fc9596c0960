"""Which other engines are measured, in which form, and what is missing where one is not.

Flower's simulation is measured twice. `engines.ray` is the script that the targets were set with, as it
stands (`scripts.py`); it makes its rows anew for every message. `engines.ray_imported` is the fair one: the
same work by an app that the actors import and that keeps its rows, as a careful user would run Flower. Of
pfl-research both forms take the same time, so the fastest of all ways counts.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..work import Work, standard
from . import runs, scripts
from .processes import Peer

_FLOWER = "run_simulation, FedAvg, 2 Ray actors of 1 processor"


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Another engine on the standard work.

    Attributes:
        figure: Its id.
        target: The other's time over ours, at least.
        settings: Of the other.
        missing: Why it cannot run here.
        ways: To run it, of which the fastest counts.
    """

    figure: str
    target: float
    settings: str
    missing: str | None
    ways: Sequence[Peer]


def contests(pfl_python: Path | None, *, rounds: int) -> list[Contest]:
    """Return all contests, whether or not they can be held here.

    Args:
        pfl_python: Interpreter of an environment with pfl-research and torch.
        rounds: Of the work.
    """
    ray = runs.why_not_ray()
    return [
        Contest(
            figure="engines.ray",
            target=40.0,
            settings=f"{_FLOWER}, app in the script, rows made for every message",
            missing=ray or scripts.why_not(),
            ways=[scripts.flower(rounds)],
        ),
        Contest(
            figure="engines.ray_imported",
            target=40.0,
            settings=f"{_FLOWER}, app in a module, rows kept by the actors",
            missing=ray,
            ways=[runs.flower],
        ),
        Contest(
            figure="engines.pfl",
            target=4.0,
            settings="SimulatedBackend, WeightByUser, minimize_reuse sampler, local SGD, central SGD at 1",
            missing=runs.why_not_pfl(pfl_python),
            ways=_pfl(pfl_python, rounds) if pfl_python else [],
        ),
    ]


def work(*, rounds: int) -> Work:
    """Return the standard work, on the rows of the competitors' scripts where they are, else on ours."""
    if scripts.why_not() is not None:
        return standard(rounds=rounds)
    with tempfile.TemporaryDirectory() as folder:
        return scripts.work(rounds, Path(folder))


def _pfl(python: Path, rounds: int) -> list[Peer]:
    """Return pfl-research in one process and in two, by our script and by that of the competitors."""
    mine = [runs.pfl(python, processes) for processes in (1, 2)]
    if scripts.why_not() is not None:
        return mine
    return [*mine, *(scripts.pfl(python, processes, rounds) for processes in (1, 2))]
