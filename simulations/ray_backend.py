"""Train a federation of simulated merchants in Flower's Ray simulation: many cores, or many machines.

Merchants, coordinator and strategy are those of every other grid. What Ray adds is processes: every node of
Flower's simulation is a worker that trains a part of a round's merchants together, as one process would
(`simulations/batching.py`), and messages are real bytes. `RAY_ADDRESS` names a running cluster; otherwise one
that was started on this machine is used (`ray start --head`), and without one Ray starts here. On several
machines the folders of the merchants must lie under the same paths where all of them read and write.

Starting Ray takes about ten seconds, so small federations are quicker in one process. A merchant that never
comes back keeps its worker busy, and the end of the training waits for it.
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple, TypeVar

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from server.config import RunSettings
from server.coordinator import RoundSummary
from server.roster import asked, waiting
from server.streaming import StreamingGrid
from shared_model.errors import AggregationError, ConfigError
from shared_model.protocol import SharedArrays

from .batching import BatchedGrid, worker_app
from .engines import Engine
from .federated import Site, coordinate, grid_of

T = TypeVar("T")

_POLL_SECONDS = 0.1
_STARTING_SECONDS = 600.0
"""How long the merchants have to say who they are, while Ray starts and they open their data."""


def require(cpus: int) -> None:
    """Require Ray and, where it will start on this machine, as many processors as one merchant occupies.

    Raises:
        ConfigError: Ray is not installed, or there are fewer processors.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "the command", "--backend", "ray", "in-process, or first pip install 'fedbazaar[ray]'"
        )
    here = os.cpu_count() or 1
    if cpus > here and not os.environ.get("RAY_ADDRESS"):
        raise ConfigError("the command", "--cpus", cpus, f"1 to {here}, the processors of this machine")


def train(
    site: Site,
    *,
    directory: Path,
    lineage: str,
    seed: int,
    receivers: Collection[str] = (),
    on_round: Callable[[RoundSummary], None] | None = None,
    cpus: int = 1,
    engine: Engine = "auto",
) -> SharedArrays:
    """Train on Ray and return the released arrays; go on where an earlier call in `directory` stopped.

    Args:
        site: Contract and merchants.
        directory: Of the run: journal and checkpoints.
        lineage: Names the training.
        seed: Of initial weights and of every merchant's draws.
        receivers: Merchants that take no part in training.
        on_round: Is told of every completed round, in the coordinator's thread.
        cpus: Processors that one worker occupies; the merchants of a round are spread over as many as fit.
        engine: How the merchants of one worker train.

    Raises:
        AggregationError: Ray stopped, the merchants did not answer, or a round could not be completed.
    """
    names = [name for name in site.merchants if name not in receivers]
    settings = RunSettings(directory=directory, lineage=lineage, seed=seed, durable=False)
    stopped = Event()

    def coordinated(grid: Grid) -> SharedArrays:
        batched = BatchedGrid(_Stoppable(grid, stopped), len(names))
        roster = waiting(asked(seconds=_STARTING_SECONDS), members=len(names), seconds=_STARTING_SECONDS)
        return coordinate(
            StreamingGrid(batched, poll_seconds=_POLL_SECONDS), roster, site, settings, on_round
        )

    here = Site(contract=site.contract.absolute(), merchants={n: site.merchants[n].absolute() for n in names})
    merchants = worker_app(
        partial(_merchants, _Opened(here.contract, tuple(here.merchants.items()), seed, engine))
    )
    place = _place()
    workers = _Workers(min(len(names), max(1, place.processors // cpus)), cpus, place.address)
    return _simulated(coordinated, merchants, workers, stopped)


class _Stoppable(StreamingGrid):
    """A grid that fails once the simulation behind it has stopped, so that nobody waits for its replies."""

    def __init__(self, grid: Grid, stopped: Event) -> None:
        super().__init__(grid)
        self._stopped = stopped

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the nodes that can be reached."""
        self._check()
        return super().get_node_ids()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have arrived."""
        self._check()
        return super().pull_messages(message_ids)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise AggregationError("The simulation was stopped; run it again to go on.")


def _simulated(
    coordinated: Callable[[Grid], SharedArrays],
    merchants: ClientApp,
    workers: "_Workers",
    stopped: Event,
) -> SharedArrays:
    """Return what `coordinated` returns inside Flower's simulation, or raise what it raises.

    The simulation has a thread of its own, so that Ctrl-C reaches this one.
    """
    outcome: Future[SharedArrays] = Future()
    crash: Future[None] = Future()
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        _settle(outcome, lambda: coordinated(grid))

    work = partial(_simulate, server, merchants, workers)
    Thread(target=lambda: _settle(crash, work), name="simulation").start()
    try:
        while not crash.done():
            wait([crash], timeout=_POLL_SECONDS)  # in slices: beside Polars a signal ends no wait for a lock
    finally:
        stopped.set()
        wait([crash])
    if error := crash.exception():
        raise AggregationError(f"Ray stopped ({error.__cause__ or error}); run it again to go on.") from error
    return outcome.result()


class _Workers(NamedTuple):
    """How many there are, how many processors each of them occupies, and the address of their cluster."""

    number: int
    cpus: int
    address: str | None


def _simulate(server: ServerApp, merchants: ClientApp, workers: _Workers) -> None:
    from flwr.simulation import run_simulation

    where = {"address": workers.address} if workers.address else {}  # otherwise Ray starts here
    options: Any = {
        "client_resources": {"num_cpus": workers.cpus, "num_gpus": 0},
        "init_args": {"logging_level": logging.ERROR, **where},
    }
    with _quiet():
        run_simulation(server, merchants, workers.number, backend_config=options)


def _settle(future: "Future[T]", work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


class _Opened(NamedTuple):
    """Which merchants a worker may have to open, and how they train."""

    contract: Path
    merchants: tuple[tuple[str, Path], ...]
    seed: int
    engine: Engine


@lru_cache(maxsize=1)
def _merchants(opened: _Opened) -> Grid:
    """Return the grid that reaches the merchants; runs in a worker of Ray's.

    The worker opens those that it is sent, and keeps them. Flower gives a message to any worker that is free,
    so over many rounds a worker may come to hold all of them.
    """
    torch.set_num_threads(1)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    site = Site(contract=opened.contract, merchants=dict(opened.merchants))
    return grid_of(site, opened.seed, engine=opened.engine)


class _Place(NamedTuple):
    """Where Ray works: the address of a cluster, or None for this machine, and how many processors it has."""

    address: str | None
    processors: int


def _place() -> _Place:
    """Return the cluster that `RAY_ADDRESS` names, or one that runs on this machine, or this machine.

    Raises:
        AggregationError: No cluster answers at `RAY_ADDRESS`.
    """
    import ray

    named = os.environ.get("RAY_ADDRESS")
    try:
        ray.init(address=named or "auto", logging_level=logging.ERROR)
    except ConnectionError as error:
        if named:
            raise AggregationError(f"RAY_ADDRESS is {named}, and no cluster answers there.") from error
        return _Place(None, os.cpu_count() or 1)
    try:
        return _Place(named or "auto", int(ray.cluster_resources()["CPU"]))  # type: ignore[no-untyped-call]
    finally:
        ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Flower's notices from the terminal, such as that its Python door to Ray is deprecated."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
