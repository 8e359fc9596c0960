"""Train a federation of simulated merchants in Flower's Ray simulation: many cores, or many machines.

ClientApp, coordinator and strategy are those of every other grid. What Ray adds is processes, so merchants
work at the same time and their messages are real bytes. `RAY_ADDRESS` names a running cluster; the run
directory must then lie where all its machines read and write. Without it Ray starts on this machine.

Starting Ray takes about ten seconds, so small federations are quicker in one process. A merchant that never
comes back keeps its worker busy, and the end of the training waits for it.
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar

import torch
from flwr.app import Context, Message
from flwr.serverapp import Grid, ServerApp

from client.app import client_app
from client.reach import NodeConfig, ReachableMerchant, merchant_for
from server.config import RunSettings
from server.coordinator import RoundSummary
from server.roster import asked, waiting
from server.streaming import StreamingGrid
from shared_model.errors import AggregationError, ConfigError
from shared_model.protocol import SharedArrays

from .federated import Site, coordinate

T = TypeVar("T")

_PARTITION = "partition-id"
"""Under which Flower tells a simulated node its position among all of them."""

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
) -> SharedArrays:
    """Train on Ray and return the released arrays; go on where an earlier call in `directory` stopped.

    Args:
        site: Contract and merchants.
        directory: Of the run: journal and checkpoints.
        lineage: Names the training.
        seed: Of initial weights and of every merchant's draws.
        receivers: Merchants that take no part in training.
        on_round: Is told of every completed round, in the coordinator's thread.
        cpus: Processors that one merchant at work occupies.

    Raises:
        AggregationError: Ray stopped, the merchants did not answer, or a round could not be completed.
    """
    nodes = [site.node_config(name, seed) for name in site.merchants if name not in receivers]
    settings = RunSettings(directory=directory, lineage=lineage, seed=seed, durable=False)
    stopped = Event()

    def coordinated(grid: Grid) -> SharedArrays:
        stoppable = StreamingGrid(_Stoppable(grid, stopped), poll_seconds=_POLL_SECONDS)
        roster = waiting(asked(), members=len(nodes), seconds=_STARTING_SECONDS)
        return coordinate(stoppable, roster, site, settings, on_round)

    return _simulated(coordinated, nodes, cpus, stopped)


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
    coordinated: Callable[[Grid], SharedArrays], nodes: Sequence[NodeConfig], cpus: int, stopped: Event
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

    Thread(target=lambda: _settle(crash, lambda: _simulate(server, nodes, cpus)), name="simulation").start()
    try:
        while not crash.done():
            wait([crash], timeout=_POLL_SECONDS)  # in slices: beside Polars a signal ends no wait for a lock
    finally:
        stopped.set()
        wait([crash])
    if error := crash.exception():
        raise AggregationError(f"Ray stopped ({error.__cause__ or error}); run it again to go on.") from error
    return outcome.result()


def _simulate(server: ServerApp, nodes: Sequence[NodeConfig], cpus: int) -> None:
    from flwr.simulation import run_simulation

    options: Any = {
        "client_resources": {"num_cpus": cpus, "num_gpus": 0},
        "init_args": {"logging_level": logging.ERROR},
    }
    merchants = client_app(partial(_merchant_of, nodes))
    with _quiet():
        run_simulation(server, merchants, len(nodes), backend_config=options)


def _settle(future: "Future[T]", work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


def _merchant_of(nodes: Sequence[NodeConfig], context: Context) -> ReachableMerchant:
    """Return the merchant of a simulated node; runs in a worker of Ray's, which keeps merchants open."""
    torch.set_num_threads(1)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    return merchant_for(nodes[int(context.node_config[_PARTITION])])


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
