"""Train for real on the simulated clock: the real coordinator asks, and hears who would be in time.

What is late or lost in simulated time is kept from the coordinator; merchants that worked in vain have
trained all the same, as they would have. Since nobody's time is measured, merchants may train together
(`simulations.vectorised`).
"""

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from flwr.app import Message
from flwr.serverapp import Grid

from server.config import RunSettings
from server.coordinator import RoundSummary
from server.roster import Member, registered
from server.streaming import WrappedGrid
from shared_model import files
from shared_model.errors import AggregationError, QuorumNotReached
from shared_model.model import initial_shared
from shared_model.protocol import SharedArrays

from .. import federated
from ..compare.bench import Bench, prepared
from ..datasets import read
from ..experiment import load_experiment
from ..parallel import Progress, together
from ..vectorised import report
from . import plan as plans
from .merchants import Merchants, drawn
from .plan import Coordinator, Plan, Point
from .timeline import Timeline, bytes_of

CURVE = "curve.json"
LOOKS = 20
"""Times that the validation loss is looked at during a training, about."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """How good the shared model is at some hour.

    Attributes:
        round: After which.
        hours: Simulated, since the beginning.
        loss: Validation loss over that of the first arrays, geometric mean over tasks; less is better.
        accepted: Answers that the round used.
    """

    round: int
    hours: float
    loss: float
    accepted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One point to train; a plain value, so that it can be sent to another process."""

    file: Path
    data: Path | None
    point: int
    out: Path


class ClockedGrid(WrappedGrid):
    """A grid whose merchants live on a timeline.

    Guarantee: it hears the same merchants in the same rounds as `rounds.simulated` on the same timeline
    (`tests/simulations/schedule/test_study.py`).

    Attributes:
        began: The clock when the round at hand began.
    """

    def __init__(
        self, grid: Grid, nodes: Mapping[str, int], timeline: Timeline, coordinator: Coordinator
    ) -> None:
        """Put `grid`, with these node ids of the timeline's merchants, on the clock."""
        super().__init__(grid)
        self.began = timeline.now
        self._timeline, self._coordinator = timeline, coordinator
        self._nodes = [nodes[name] for name in timeline.merchants.names]
        self._position = {node: position for position, node in enumerate(self._nodes)}
        self._number, self._attempt = 0, 0

    def get_node_ids(self) -> list[int]:
        """Return who is online, once there are enough.

        Raises:
            AggregationError: There are not, in time.
        """
        if not self._timeline.wait(self._coordinator.wait_members, self._coordinator.wait_seconds):
            raise AggregationError("Too few members can be reached.")
        return [self._nodes[position] for position in self._timeline.present()]

    def begin(self) -> None:
        """Begin a round, or a run, now."""
        self.began, self._number = self._timeline.now, 0

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Yield the replies that come in simulated time, in the order in which `grid` has them ready."""
        by_position = {self._position[m.metadata.dst_node_id]: m for m in messages}
        number = max((int(m.metadata.group_id) for m in by_position.values()), default=self._number)
        self._attempt = self._attempt + 1 if number == self._number else 0
        self._number = number
        deadline = math.inf if timeout is None else timeout
        found = self._timeline.ask(number, self._attempt, list(by_position), deadline)
        yield from self._grid.send_and_receive([by_position[int(p)] for p in found.accepted], timeout=None)
        for reply in self._grid.send_and_receive([by_position[int(p)] for p in found.late], timeout=None):
            del reply  # nobody waits for it any more


def merchants_of(plan: Plan, repeat: int) -> Merchants:
    """Return the merchants of one simulated training, the same ones for all points."""
    return drawn(
        plan.members,
        {group.name: group for group in plan.file.group},
        plan.points[0].federation,
        rounds=max(p.federation.federation.rounds for p in plan.points),
        seed=plan.file.schedule.seed,
        repeat=repeat,
    )


def timeline_of(plan: Plan, point: Point, merchants: Merchants) -> Timeline:
    """Return the clock of one simulated training of a point, at its beginning."""
    return Timeline(
        merchants,
        bytes_moved=bytes_of(point.federation),
        megabits=plan.file.coordinator.megabits,
        starts_at=plan.file.schedule.starts_at,
        pace=point.federation.federation.pace_seconds,
    )


def run(job: Job) -> None:
    """Train one point unless it is done; leave its curve.

    Raises:
        FedbazaarError: Data are missing, or merchants cannot train.
    """
    torch.set_num_threads(1)
    if (job.out / CURVE).exists():
        return
    plan = plans.load(job.file, data=job.data)
    if plan.experiment is None:
        raise TypeError("Expected a schedule with an experiment.")
    point, seed = plan.points[job.point], plan.file.schedule.seed
    market = read(load_experiment(plan.experiment, data=job.data).market, plan.experiment.parent)
    bench = prepared(market, point.tables, out=job.out, seed=seed)
    try:
        looks = trained(bench, timeline_of(plan, point, merchants_of(plan, 0)), plan, seed=seed)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    files.write(job.out / CURVE, json.dumps([asdict(look) for look in looks]).encode(), durable=False)


def run_all(plan: Plan, file: Path, data: Path | None, out: Path, workers: int, progress: Progress) -> None:
    """Train every point of a schedule that asks for it, several at a time (errors as in `run`)."""
    if plan.file.schedule.train:
        jobs = [Job(file=file, data=data, point=i, out=folder(out, i)) for i in range(len(plan.points))]
        calls = [partial(run, job) for job in jobs]
        together(calls, workers=workers, stage="real trainings", progress=progress)


def folder(out: Path, position: int) -> Path:
    """Return where the real training of a point leaves its curve."""
    return out / "trained" / f"{position:03d}"


def curve(out: Path) -> tuple[Look, ...]:
    """Return the curve that `run` left; nothing where nothing was trained."""
    path = out / CURVE
    written = json.loads(path.read_bytes()) if path.exists() else []
    return tuple(Look(**{**one, "accepted": tuple(one["accepted"])}) for one in written)


def trained(bench: Bench, timeline: Timeline, plan: Plan, *, seed: int) -> list[Look]:
    """Let the real coordinator train on a timeline; return the looks, the last one at its end.

    A training that stops is started again as the plan says; one that never ends has looks up to its stop.
    """
    coordinator, terms = plan.file.coordinator, bench.contract.federation
    receivers = bench.site.merchants.keys() - plan.members.keys()
    nodes = federated.grid_of(bench.site, seed, receivers=receivers)
    grid = ClockedGrid(nodes, nodes.node_ids, timeline, coordinator)
    members = {nodes.node_ids[name]: _member(bench, name, seed) for name in plan.members}
    every, looks = max(1, terms.rounds // LOOKS), []
    first = _losses(bench, initial_shared(bench.contract, seed))

    def on_round(summary: RoundSummary) -> None:
        due = summary.round % every == 0 or summary.round in (1, terms.rounds)
        loss = _relative(_losses(bench, summary.arrays), first) if due else math.nan
        hours = timeline.now / 3600
        looks.append(Look(round=summary.round, hours=hours, loss=loss, accepted=summary.accepted))
        if summary.round < terms.rounds:
            timeline.now = max(timeline.now, grid.began + terms.pace_seconds)
        grid.begin()

    settings = RunSettings(directory=bench.work / "run", lineage=lineage(0), seed=seed, durable=False)
    while timeline.now <= coordinator.most_hours * 3600:
        try:
            federated.coordinate(grid, registered(members), bench.site, settings, on_round)
            break
        except (QuorumNotReached, AggregationError):
            if not coordinator.restart_hours:
                break
            timeline.now += coordinator.restart_hours * 3600
            grid.begin()
    report.write(bench.work.parent, nodes.ran)
    return [look for look in looks if not math.isnan(look.loss)]


def lineage(repeat: int) -> str:
    """Return the name of a simulated training, which decides whom a round draws."""
    return f"schedule-{repeat}"


def _member(bench: Bench, name: str, seed: int) -> Member:
    told = bench.site.merchant(name, seed).describe()
    return Member(name=told.name, tier=told.tier, tasks=told.tasks, role=told.role)


def _losses(bench: Bench, arrays: SharedArrays) -> dict[str, float | None]:
    return federated.validation_losses(bench.contract, bench.datasets, arrays)


def _relative(now: Mapping[str, float | None], first: Mapping[str, float | None]) -> float:
    pairs = [(value, before) for task, value in now.items() if value and (before := first.get(task))]
    return float(np.exp(np.mean([np.log(value / before) for value, before in pairs]))) if pairs else 1.0
