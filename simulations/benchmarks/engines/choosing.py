"""Whether `auto` chooses well: its time against the better of the two engines, over a grid of work."""

import itertools
from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

from simulations.engines import Engine

from . import ours
from .catalogues import with_catalogues
from .work import Work, product, replaced

WIDTHS, ASKED, BUCKETS, ITEMS = (16, 64, 256, 512), (2, 5, 20), (0, 2_000, 50_000), (200, 2_000)
_ROUNDS, _TURNS = 4, 2


class Point(NamedTuple):
    """One kind of work, and how well `auto` did on it.

    Attributes:
        name: Of the work.
        share: The better engine's time over that of `auto`; 1 where it is the better one.
    """

    name: str
    share: float


def points() -> Iterator[tuple[str, Work]]:
    """Yield the grid: every width and cohort without tables, and tables and catalogues at one width."""
    for width, asked in itertools.product(WIDTHS, ASKED):
        yield f"width {width}, {asked} merchants", product(rounds=_ROUNDS, asked=asked, hidden=(width, width))
    for buckets, asked in itertools.product(BUCKETS[1:], ASKED[1:]):
        yield f"tables of {buckets}, {asked} merchants", product(rounds=_ROUNDS, asked=asked, buckets=buckets)
    for items, asked in itertools.product(ITEMS, ASKED[1:]):
        work = with_catalogues(product(rounds=_ROUNDS, asked=asked), median=items)
        yield f"catalogues of about {items}, {asked} merchants", work


def worst() -> Point:
    """Return the point of the grid at which `auto` does worst."""
    return min((Point(name, _share(work)) for name, work in points()), key=lambda point: point.share)


def gain(work: Work) -> float:
    """Return the time of the loop over that of `auto`, timed in turn."""
    medians = _medians(work, ("loop", "auto"))
    return medians["loop"] / medians["auto"]


def _share(work: Work) -> float:
    """Return the better engine's time over that of the one that `auto` chose.

    The two are timed in turn. `auto` needs no time of its own where it is one of them; merchants with
    catalogues it may part.
    """
    chosen: Engine = "auto" if any(rows.catalogues for rows in work.merchants.values()) else _chosen(work)
    medians = _medians(work, ("loop", "vectorised", chosen))
    return min(medians["loop"], medians["vectorised"]) / medians[chosen]


def _medians(work: Work, engines: Sequence[Engine]) -> dict[Engine, float]:
    """Return seconds of a round; engines take turns, and one that is named twice is timed once."""
    times: dict[Engine, list[float]] = {engine: [] for engine in engines}
    for _ in range(_TURNS):
        for engine, seconds in times.items():
            seconds += ours.ran(work, engine).cpu[1:]  # the first round finds memory
    return {engine: median(seconds) for engine, seconds in times.items()}


def _chosen(work: Work) -> Engine:
    """Return the engine that `auto` chose for all merchants."""
    return "vectorised" if ours.ran(replaced(work, rounds=1), "auto").together else "loop"
