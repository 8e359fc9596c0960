"""The ServerApp of the deployment benchmark: ours and stock Flower, round about in one run.

Stock is what Flower's own examples do: FedAvg over the grid as it is (`deployed_client.py` is its other
side). Ours is the product itself: coordinator, agent, and bridge or thin ClientApp. Model, rows, loss and
number of steps are the same. All wait for one another, so that what else the machine does meets all alike.
"""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from .deployed_client import STOCK

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Mode:
    """One way of deploying, with merchants of its own.

    Attributes:
        name: In the results.
        contract: Path of its federation.toml.
        members: Names of its merchants.
        directory: Its run directory.
    """

    name: str
    contract: str
    members: tuple[str, ...]
    directory: str

    @property
    def is_stock(self) -> bool:
        """Whether it is Flower alone."""
        return self.name == "stock"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the ServerApp measures.

    Attributes:
        modes: Take turns, in this order.
        rounds: Of each.
        output: JSON lines: mode, round, seconds, number of merchants that answered.
        signing_key: Of the coordinator.
        doorman: Socket of whoever holds the nodes' polls.
    """

    modes: tuple[Mode, ...]
    rounds: int
    output: str
    signing_key: str
    doorman: str

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps({**vars(self), "modes": [vars(mode) for mode in self.modes]}))

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Return the plan at `path`."""
        told = json.loads(path.read_text())
        modes = tuple(Mode(**{**mode, "members": tuple(mode["members"])}) for mode in told["modes"])
        return cls(**{**told, "modes": modes})


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Let every mode train its rounds, one round of each in turn."""
    plan = Plan.read(Path(str(context.run_config["plan"])))
    _wait_for(grid, {name for mode in plan.modes for name in mode.members})
    turns = Turns([mode.name for mode in plan.modes], Path(plan.output))
    threads = [
        threading.Thread(target=turns.run, args=(mode.name, _trainer(mode, plan, grid, turns)))
        for mode in plan.modes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if turns.failed:
        raise turns.failed


class Turns:
    """Lets several trainings go on by one round each, in a fixed order; writes down how long each took."""

    def __init__(self, order: list[str], output: Path) -> None:
        self._order, self._output = order, output
        self._at, self._began = 0, 0.0
        self._changed = threading.Condition()
        self.failed: BaseException | None = None

    def run(self, name: str, train: Callable[[], None]) -> None:
        """Call `train` when its first turn has come; a failure of one ends all."""
        try:
            self._wait(name)
            train()
        except BaseException as error:
            self.failed = self.failed or error
        with self._changed:
            self._order = [other for other in self._order if other != name] if not self.failed else []
            self._at = self._at % max(1, len(self._order))
            self._began = perf_counter()
            self._changed.notify_all()

    def round_ended(self, name: str, number: int, answered: int, *, last: bool) -> None:
        """Write a round down, and wait until the next turn has come."""
        line = {
            "mode": name,
            "round": number,
            "seconds": perf_counter() - self._began,
            "answered": answered,
        }
        with self._output.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if last:
            return
        with self._changed:
            self._at = (self._at + 1) % len(self._order)
            self._began = perf_counter()
            self._changed.notify_all()
        self._wait(name)

    def _wait(self, name: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.failed or self._order[self._at] == name)
            if self.failed:
                raise RuntimeError("another training failed") from self.failed
            self._began = perf_counter()


def _trainer(mode: Mode, plan: Plan, grid: Grid, turns: Turns) -> Callable[[], None]:
    return lambda: (_train_stock if mode.is_stock else _train_ours)(mode, plan, grid, turns)


def _train_stock(mode: Mode, plan: Plan, grid: Grid, turns: Turns) -> None:
    from shared_model.model import initial_shared
    from shared_model.schema import load_federation

    initial = initial_shared(load_federation(Path(mode.contract)), 0)
    arrays = ArrayRecord({name: Array(array) for name, array in initial.items()})
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1)
    nodes = sorted(node.node_id for node in grid.get_nodes() if node.name in mode.members)
    for number in range(1, plan.rounds + 1):
        content = RecordDict({"arrays": arrays, "config": ConfigRecord({"server-round": number})})
        questions = [Message(content, node, STOCK, group_id=f"stock {number}") for node in nodes]
        replies = list(grid.send_and_receive(questions))
        answered = len([reply for reply in replies if not reply.has_error()])
        aggregated, _ = strategy.aggregate_train(number, replies)
        arrays = aggregated or arrays
        turns.round_ended(mode.name, number, answered, last=number == plan.rounds)


def _train_ours(mode: Mode, plan: Plan, grid: Grid, turns: Turns) -> None:
    from server import coordinator
    from server.app import poke, signer
    from server.config import RunConfig, RunSettings
    from server.roster import Member, by_name
    from server.streaming import StreamingGrid
    from shared_model import model
    from shared_model.schema import load_federation

    federation = load_federation(Path(mode.contract))
    told = RunConfig(contract=mode.contract, run_directory=mode.directory, signing_key=plan.signing_key)
    tasks = frozenset(federation.tasks)
    coordinator.train(
        StreamingGrid(grid, wake=poke(plan.doorman)),
        federation,
        model.initial_shared(federation, 0),
        settings=RunSettings(directory=Path(mode.directory), lineage=mode.name, seed=0),
        roster=by_name(Member(name=name, tier="any", tasks=tasks) for name in mode.members),
        moved_by=model.movers(federation),
        sign=signer(told, federation),
        on_round=lambda ended: turns.round_ended(
            mode.name, ended.round, len(ended.accepted), last=ended.round == plan.rounds
        ),
    )


def _wait_for(grid: Grid, names: set[str]) -> None:
    while missing := names - {node.name for node in grid.get_nodes()}:
        logger.info("waiting for %s", ", ".join(sorted(missing)))
        threading.Event().wait(1.0)
