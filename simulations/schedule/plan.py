"""What a schedule file may say: assumed merchants, and the deadlines and quorums to choose from."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared, schema
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Count, Federation, NonNegative, Positive

from ..compare.plan import changed
from ..datasets import read
from ..experiment import DATA, Experiment, load_experiment

Varied = Literal["deadline_seconds", "quorum", "merchants_per_round", "attempts", "pace_seconds", "rounds"]
Hour = Annotated[float, Field(ge=0, lt=24)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Speed:
    """How long merchants work on one round.

    Attributes:
        median_seconds: Half of the merchants need less, as a rule.
        between: Standard deviation, over merchants, of the logarithm of what they need as a rule.
        within: The same over the rounds of one merchant.
    """

    median_seconds: Positive
    between: NonNegative = 0.5
    within: NonNegative = 0.2


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Network:
    """The line of a merchant: megabits a second each way, and seconds that any message takes."""

    megabits_down: Positive = 50.0
    megabits_up: Positive = 10.0
    latency_seconds: NonNegative = 0.1


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Availability:
    """When merchants are there.

    Attributes:
        opens: Hour of the day from which they are online, on average.
        opens_spread: Standard deviation of it over merchants, in hours.
        hours: Online hours a day; 24 for always.
        lost: Chance that nothing comes back of a question, so that a round waits until its deadline.
        leaves_per_day: Chance that a merchant leaves for good within a day.
        joins_from_hours: Hours after the beginning at which the first of them joins ...
        joins_to_hours: ... and the last; uniform in between.
    """

    opens: Hour = 0.0
    opens_spread: NonNegative = 0.0
    hours: Annotated[float, Field(gt=0, le=24)] = 24.0
    lost: Share = 0.0
    leaves_per_day: Annotated[float, Field(ge=0, lt=1)] = 0.0
    joins_from_hours: NonNegative = 0.0
    joins_to_hours: NonNegative = 0.0

    def __post_init__(self) -> None:
        if self.joins_to_hours < self.joins_from_hours:
            raise ValueError("joins_to_hours from joins_from_hours on")


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Group:
    """One `[[group]]` of merchants that are alike.

    Attributes:
        name: Of the group; a tier of the contract where an experiment names the merchants.
        merchants: How many; 0 where an experiment has them.
        speed: How long they work.
        network: Their line.
        availability: When they are there.
    """

    name: str
    merchants: Annotated[int, Field(ge=0)] = 0
    speed: Speed
    network: Network = Network()
    availability: Availability = Availability()


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Coordinator:
    """The coordinator's side.

    Attributes:
        megabits: Of its line a second, shared by all merchants of a round, each way.
        wait_members: A round begins when so many can be reached ...
        wait_seconds: ... and the run stops where they cannot after so long (`server.config.RunConfig`).
        restart_hours: A run that stopped is started again after so long; 0: nobody does.
        most_hours: A training that takes longer counts as never finished.
    """

    megabits: Positive = 1000.0
    wait_members: Count = 1
    wait_seconds: NonNegative = 300.0
    restart_hours: NonNegative = 0.0
    most_hours: Positive = 24.0 * 90


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Schedule:
    """The `[schedule]` table.

    Attributes:
        contract: `federation.toml`, relative to this file; its rounds and bytes are taken.
        experiment: Instead of it: an experiment file, whose merchants and contract are taken.
        train: Train every point for real, with the experiment's merchants.
        starts_at: Hour of the day at which the training begins.
        repeats: Simulated trainings of every point, each with merchants of its own.
        seed: Of all draws.
        heard_at_least: What is wanted: this share of the answers that every group would give if everybody
            were always there in time.
        grid: Key of `[federation]` -> the values to try.
    """

    contract: str = ""
    experiment: str = ""
    train: bool = False
    starts_at: Hour = 9.0
    repeats: Annotated[int, Field(ge=1, le=1000)] = 20
    seed: Annotated[int, Field(ge=0)] = 0
    heard_at_least: Share = 0.8
    grid: Annotated[dict[Varied, Annotated[list[float | int], Field(min_length=1)]], Field(min_length=1)]

    def __post_init__(self) -> None:
        if bool(self.contract) == bool(self.experiment):
            raise ValueError("either contract or experiment")
        if self.train and not self.experiment:
            raise ValueError("train = true only with an experiment, whose merchants can train")


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class File:
    """All of a schedule file."""

    schedule: Schedule
    group: Annotated[tuple[Group, ...], Field(min_length=1)]
    coordinator: Coordinator = Coordinator()


@dataclass(frozen=True, kw_only=True)
class Point:
    """One combination of values, and the contract that says them."""

    values: dict[str, float | int]
    tables: dict[str, Any]
    federation: Federation


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A schedule whose points are all checked.

    Attributes:
        name: Of the file.
        file: What it says.
        points: In the order of the grid.
        members: Name of a merchant that trains -> its group.
        experiment: Path of the experiment; None without one.
    """

    name: str
    file: File
    points: tuple[Point, ...]
    members: dict[str, str]
    experiment: Path | None


def load(path: Path, *, data: Path | None = None) -> Plan:
    """Return the schedule at `path`, every point of it checked.

    Raises:
        ConfigError: A key or value is not allowed, a point makes no contract, or a merchant has no group.
        DataError: The experiment's data are missing.
    """
    file = declared.load(File, path)
    asked = file.schedule
    experiment = path.parent / asked.experiment if asked.experiment else None
    if data is not None and experiment is None:
        raise ConfigError("fedbazaar-sim", DATA, str(data), f"no folder: {path.name} names no experiment")
    loaded = load_experiment(experiment, data=data) if experiment else None
    contract = experiment.parent / loaded.experiment.contract if experiment and loaded else None
    tables = declared.read_toml(contract or path.parent / asked.contract)
    points = tuple(_points(path, tables, asked.grid))
    members = _market_members(path, file, loaded, experiment, points) if loaded and experiment else {}
    return Plan(
        name=path.stem,
        file=file,
        points=points,
        members=members or _counted_members(path, file.group),
        experiment=experiment,
    )


def _points(path: Path, tables: Mapping[str, Any], grid: Mapping[Any, list[float | int]]) -> list[Point]:
    points = []
    for combination in itertools.product(*grid.values()):
        values = dict(zip(grid, combination, strict=True))
        said = ", ".join(f"{key} = {value}" for key, value in values.items())
        point = changed(tables, {"federation": values})
        federation = schema.parse_federation(point, file=f"{path}, at {said}")
        points.append(Point(values=values, tables=point, federation=federation))
    return points


def _counted_members(path: Path, groups: tuple[Group, ...]) -> dict[str, str]:
    for group in groups:
        if not group.merchants:
            raise ConfigError(path, f"group.{group.name}.merchants", 0, "1 or more, without an experiment")
    return {f"{g.name}-{i:04d}": g.name for g in groups for i in range(g.merchants)}


def _market_members(
    path: Path, file: File, loaded: Experiment, experiment: Path, points: tuple[Point, ...]
) -> dict[str, str]:
    """Return the merchants of an experiment that train, by tier."""
    tiers = points[0].federation.tiers
    market = read(loaded.market, experiment.parent)
    first = next(iter(tiers))
    found = {name: tables.tier or first for name, tables in market.merchants.items()}
    trained = {name: tier for name, tier in found.items() if tier in tiers and tiers[tier].role == "train"}
    known = [group.name for group in file.group]
    for name, tier in trained.items():
        if tier not in known:
            raise ConfigError(path, "group.name", None, f"a group {tier}: {name} is of this tier")
    return trained
