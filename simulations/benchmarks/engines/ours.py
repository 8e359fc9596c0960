"""Whole rounds of the work through the platform: coordinator, strategy, checks, journal and checkpoint.

Merchants are in memory, as in `simulations/scale/`: no files of theirs, and no record of what they sent.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

from server import coordinator
from server.config import RunSettings
from server.coordinator import RoundSummary
from server.roster import Member, registered
from shared_model.model import initial_shared, movers
from shared_model.protocol import SharedArrays
from simulations.engines import Engine
from simulations.vectorised.grid import VectorisedGrid
from simulations.vectorised.shops import memory_app, memory_market

from .work import Work

SEED = 0


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a training took and made.

    Attributes:
        wall: Seconds of every round.
        cpu: Seconds of this process's processors in every round.
        arrays: What was released.
        chosen: How merchants trained, and why.
        together: Whether all of them did as cohorts.
    """

    wall: list[float]
    cpu: list[float]
    arrays: SharedArrays
    chosen: str
    together: bool


def ran(work: Work, engine: Engine, *, between: Callable[[int], None] = lambda number: None) -> Ran:
    """Train the work for its rounds; call `between` after each, outside the time that is taken.

    Args:
        work: What is trained.
        engine: As in `simulations.engines`.
        between: Gets the number of the round that ended.
    """
    wall, cpu = [], []
    began = perf_counter(), process_time()

    def note(summary: RoundSummary) -> None:
        nonlocal began
        wall.append(perf_counter() - began[0])
        cpu.append(process_time() - began[1])
        between(summary.round)
        began = perf_counter(), process_time()

    grid = _grid(work, engine)
    with tempfile.TemporaryDirectory() as folder:
        settings = RunSettings(directory=Path(folder), lineage="engines", seed=SEED, durable=False)
        began = perf_counter(), process_time()
        arrays = coordinator.train(
            grid,
            work.contract,
            initial(work),
            settings=settings,
            roster=registered(_members(work, grid.node_ids)),
            moved_by=movers(work.contract),
            on_round=note,
        )
    chosen = "; ".join(dict.fromkeys(r.choice.reason for r in grid.ran))
    together = all(r.choice.together for r in grid.ran)
    return Ran(wall=wall, cpu=cpu, arrays=arrays, chosen=chosen, together=together)


def initial(work: Work) -> SharedArrays:
    """Return what training begins with."""
    return work.initial or initial_shared(work.contract, SEED)


def _members(work: Work, nodes: dict[str, int]) -> dict[int, Member]:
    return {
        nodes[name]: Member(name=name, tier=next(iter(work.contract.tiers)), tasks=frozenset(rows.tasks))
        for name, rows in work.merchants.items()
    }


def _grid(work: Work, engine: Engine) -> VectorisedGrid:
    """Return the grid that reaches the merchants of the work."""
    shops = memory_market(work.contract, work.merchants, seed=SEED)
    nodes = {name: {"merchant": name} for name in shops}
    return VectorisedGrid(memory_app(shops), nodes, federation=work.contract, shops=shops, engine=engine)
