"""Our rounds and another engine's, in turn; a figure is the median of their ratios.

In one process a round of ours and one of the other's follow each other, so that whatever else the machine
does falls on both, and processor time is compared. Engines with processes of their own are run in turn with
ours, several times, and compared by the time on the wall.
"""

import tempfile
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from statistics import median
from time import process_time
from typing import NamedTuple, Protocol

import torch

from simulations.engines import Engine

from . import judged, ours
from .peers.processes import WARM, Peer, Told
from .peers.runs import handed
from .work import Work


class Compared(NamedTuple):
    """What a comparison found.

    Attributes:
        ratio: Median of the other's time over ours.
        theirs: Median, milliseconds of a round.
        ours: Median, milliseconds of a round.
        chosen: How ours trained.
        other: What the other says it is, where it has processes of its own.
    """

    ratio: float
    theirs: float
    ours: float
    chosen: str
    other: str = ""


class Rounds(Protocol):
    """Another engine in this process."""

    def round(self, number: int) -> None:
        """Train one round."""


def beside(work: Work, other: Rounds, *, engine: Engine = "auto") -> Compared:
    """Train the work and let `other` train a round after each of ours; compare processor time."""
    torch.set_num_threads(1)
    theirs: list[float] = []

    def between(number: int) -> None:
        began = process_time()
        other.round(number)
        theirs.append(process_time() - began)

    ran = ours.ran(work, engine, between=between)
    arrays = getattr(other, "arrays", None)
    if arrays is not None:
        found = {"ours": judged.loss_of(work, ran.arrays), "theirs": judged.loss_of(work, arrays())}
        judged.require_same_job(found)
    return compared(theirs[WARM:], ran.cpu[WARM:], ran.chosen)


def against(work: Work, peers: Mapping[str, Sequence[Peer]], *, repeats: int) -> dict[str, Compared]:
    """Run peers and ours in turn, each in its own processes; compare the medians of rounds on the wall.

    Args:
        work: The standard work, which every peer must do to the same loss.
        peers: Figure -> ways to run one peer, of which the fastest counts in every repeat.
        repeats: How often.

    Returns:
        Figure -> the median over repeats.
    """
    mine: list[float] = []
    theirs: dict[str, list[Told]] = {name: [] for name in peers}
    with tempfile.TemporaryDirectory() as folder:
        handed(work, Path(folder))
        for _ in range(repeats):
            ran = ours.ran(work, "auto")
            mine.append(median(ran.wall[WARM:]))
            losses = {"ours": judged.loss_of(work, ran.arrays)}
            for name, ways in peers.items():
                told = [way(Path(folder)) for way in ways]
                theirs[name].append(min(told, key=attrgetter("seconds")))
                losses |= {f"{name}, {t.name}": t.loss for t in told}
            judged.require_same_job(losses)
    return {
        name: compared([t.seconds for t in found], mine, ran.chosen)._replace(other=found[-1].name)
        for name, found in theirs.items()
    }


def compared(theirs: Sequence[float], mine: Sequence[float], chosen: str) -> Compared:
    """Return the comparison of times in seconds that were taken in turn."""
    ratio = median(t / m for t, m in zip(theirs, mine, strict=True))
    return Compared(ratio, 1000 * median(theirs), 1000 * median(mine), chosen)
