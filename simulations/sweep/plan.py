"""What a sweep file may say, and the points that it stands for."""

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from shared_model.schema import Federation, parse_federation

from ..compare.adoptions import Adoption
from ..compare.plan import Where, changed
from ..experiment import Experiment, tables_of

MOST_POINTS = 10_000
Values = dict[str, Any]
"""Dotted key -> value."""


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Sweep:
    """The `[sweep]` table.

    Attributes:
        experiment: The experiment file, relative to this one.
        seeds: Every point runs with each of them; empty for those of the experiment.
        where: Who holds the rows (`simulations.compare.plan.Training`).
        served: What the merchants are judged by.
        grid: Dotted key of the contract (`local.learning_rate`) or of the experiment (`market.merchants`) ->
            the values to try. Every combination is a point.
    """

    experiment: str
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    where: Where = "federated"
    served: Adoption = "heads"
    grid: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class File:
    """All of a sweep file."""

    sweep: Sweep


@dataclass(frozen=True, kw_only=True)
class Point:
    """One combination of values.

    Attributes:
        values: By key.
        contract: Tables of its contract.
        experiment: Tables of its experiment; the folder of its data is absolute.
    """

    values: Values
    contract: dict[str, Any]
    experiment: dict[str, Any]

    @property
    def label(self) -> str:
        """The point in one line.

        >>> Point(values={"local.learning_rate": 0.1}, contract={}, experiment={}).label
        'local.learning_rate = 0.1'
        """
        return ", ".join(f"{key} = {said(value)}" for key, value in self.values.items())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep whose points are all checked.

    Attributes:
        name: Of the file.
        seeds: Of every point.
        where: See `Sweep`.
        served: See `Sweep`.
        points: In the order of the grid; the last key changes fastest.
        experiment: The experiment file.
    """

    name: str
    seeds: tuple[int, ...]
    where: Where
    served: Adoption
    points: tuple[Point, ...]
    experiment: Path

    def key(self, point: Point) -> str:
        """Return the name of a point's files: the same training has the same one in every grid."""
        meant = [point.contract, point.experiment, self.where, self.served]
        return hashlib.sha256(json.dumps(meant, sort_keys=True, default=str).encode()).hexdigest()[:12]


def said(value: Any) -> str:
    """Return a value of the grid as text."""
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def load(path: Path, *, data: Path | None = None) -> Plan:
    """Return the sweep at `path`, every point of it checked.

    Args:
        path: The file.
        data: Folder of the market's original data, instead of the experiment's own.

    Raises:
        ConfigError: A key is in no contract and no experiment, a value is not allowed, two keys contradict
            one another, or a file is missing. Names the key and the point; nothing was trained.
    """
    sweep = declared.load(File, path).sweep
    file = path.parent / sweep.experiment
    experiment = tables_of(file, data=data)
    market = experiment.get("market")
    if isinstance(market, dict) and "directory" in market:
        market["directory"] = os.path.normpath((file.parent / str(market["directory"])).absolute())
    plan = declared.parse(Experiment, experiment, file=file).experiment
    contract = declared.read_toml(file.parent / plan.contract)
    points = _points(path, sweep.grid)
    return Plan(
        name=path.stem,
        seeds=sweep.seeds or plan.seeds,
        where=sweep.where,
        served=sweep.served,
        points=tuple(_checked(path, _point(values, contract, experiment)) for values in points),
        experiment=file,
    )


def _points(path: Path, grid: Mapping[str, list[Any]]) -> list[Values]:
    for key in grid:
        _table_of(path, key)
    count = 1
    for values in grid.values():
        count *= len(values)
    if count > MOST_POINTS:
        raise ConfigError(path, "sweep.grid", f"{count} points", f"{MOST_POINTS} at most")
    return [dict(zip(grid, combination, strict=True)) for combination in itertools.product(*grid.values())]


def _table_of(path: Path, key: str) -> type:
    """Return the file whose table a dotted key begins with."""
    known = {f.name: kind for kind in (Experiment, Federation) for f in fields(kind)}
    first = key.split(".")[0]
    if first not in known:
        allowed = f"a key of the contract or of the experiment; their tables are {', '.join(known)}"
        raise ConfigError(path, f"sweep.grid.{key}", key, allowed)
    return known[first]


def _point(values: Values, contract: Mapping[str, Any], experiment: Mapping[str, Any]) -> Point:
    tables: dict[type, Mapping[str, Any]] = {Federation: contract, Experiment: experiment}
    for key, value in values.items():
        kind = _table_of(Path(), key)
        tables[kind] = changed(tables[kind], _nested(key.split("."), value))
    return Point(values=values, contract={**tables[Federation]}, experiment={**tables[Experiment]})


def _nested(parts: list[str], value: Any) -> dict[str, Any]:
    """Return the tables that hold one value.

    >>> _nested(["local", "learning_rate"], 0.1)
    {'local': {'learning_rate': 0.1}}
    """
    return {parts[0]: _nested(parts[1:], value) if len(parts) > 1 else value}


def _checked(path: Path, point: Point) -> Point:
    at = f"{path}, at {point.label}"
    parse_federation(point.contract, file=at)
    declared.parse(Experiment, point.experiment, file=at)
    return point


def share(points: int, seeds: int, workers: int) -> int:
    """Return how many seeds of a point one process takes: all of them, unless processes would stand idle.

    >>> share(10, 3, 4), share(1, 5, 2)
    (3, 3)
    """
    return seeds if points >= workers else -(-points * seeds // workers)
