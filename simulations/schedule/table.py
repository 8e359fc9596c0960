"""What came of every point of a schedule, and which one is recommended.

Rule: of the points that finish in 95 % of the simulated trainings and hear every group as much as is wanted,
the fastest; of those that take no more than 5 % longer, the one that hears its least heard group most. Where
none is left, the one that hears most of those that finish.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from shared_model import files

from ..parallel import Progress
from ..runs.environment import environment
from ..vectorised import report
from .plan import Group, Plan, Point
from .rounds import Tally, simulated
from .timeline import bytes_of
from .training import Look, curve, folder, lineage, merchants_of, timeline_of

_Runs = list[tuple[Tally, bool]]
FINISHES = 0.95
ALIKE = 1.05


@dataclass(frozen=True, kw_only=True)
class Line:
    """One point.

    Attributes:
        values: Key of `[federation]` -> value.
        finished: Share of the simulated trainings that did.
        hours: Until the end of those that did: their median, None without any ...
        hours_low: ... and between these two lie 90 % of them.
        hours_high: Upper end.
        lost: Attempts of a training that missed the quorum, on average.
        stops: Times that a training stopped, on average.
        heard: Group -> answers that were used, over those that it would give were everybody always in time.
        gigabytes: That a training moves through the coordinator, both ways, on average.
        curve: Of the real training; empty where there was none.
        engine: How merchants trained there, in words.
    """

    values: Mapping[str, float | int]
    finished: float
    hours: float | None
    hours_low: float | None
    hours_high: float | None
    lost: float
    stops: float
    heard: Mapping[str, float]
    gigabytes: float
    curve: tuple[Look, ...]
    engine: tuple[str, ...] = ()

    @property
    def least(self) -> float:
        """Of `heard`."""
        return min(self.heard.values(), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of a schedule.

    Attributes:
        name: Of the schedule.
        command: That repeats it.
        environment: Versions.
        repeats: Simulated trainings of every point.
        rounds: Of the contract, where the grid does not say others.
        wanted: Share of answers of every group.
        groups: Name -> number of merchants.
        assumed: What was assumed of each group, in words.
        recommended: Position of the point; None where no training finishes.
        enough: Whether it hears every group as much as is wanted.
        lines: The points.
    """

    name: str
    command: str
    environment: Mapping[str, str]
    repeats: int
    rounds: int
    wanted: float
    groups: Mapping[str, int]
    assumed: tuple[str, ...]
    recommended: int | None
    enough: bool
    lines: tuple[Line, ...]


def results(plan: Plan, out: Path, command: str, progress: Progress) -> Results:
    """Simulate every point; read the curves of those that were trained."""
    asked, runs = plan.file.schedule, [_Runs() for _ in plan.points]
    for repeat in range(asked.repeats):
        progress("simulated trainings", repeat, asked.repeats)
        merchants = merchants_of(plan, repeat)
        for point, mine in zip(plan.points, runs, strict=True):
            clock = timeline_of(plan, point, merchants)
            mine.append(simulated(clock, point.federation, plan.file.coordinator, lineage=lineage(repeat)))
    progress("simulated trainings", asked.repeats, asked.repeats)
    lines = [
        _line(plan, point, mine, folder(out, position))
        for position, (point, mine) in enumerate(zip(plan.points, runs, strict=True))
    ]
    recommended, enough = choice(lines, asked.heard_at_least)
    counts = [*plan.members.values()]
    return Results(
        name=plan.name,
        command=command,
        environment=environment(),
        repeats=asked.repeats,
        rounds=plan.points[0].federation.federation.rounds,
        wanted=asked.heard_at_least,
        groups={g.name: counts.count(g.name) for g in plan.file.group},
        assumed=tuple(in_words(group) for group in plan.file.group),
        recommended=recommended,
        enough=enough,
        lines=tuple(lines),
    )


def write(found: Results, path: Path) -> None:
    """Replace the file at `path` by the results as JSON, wholly or not at all."""
    files.write(path, json.dumps(asdict(found), indent=1).encode(), durable=False)


def choice(lines: Sequence[Line], wanted: float) -> tuple[int | None, bool]:
    """Return the position of the recommended point, and whether it hears every group as much as is wanted."""
    finishing = [i for i, line in enumerate(lines) if line.finished >= FINISHES]
    hearing = [i for i in finishing if lines[i].least >= wanted]
    if not hearing:
        return max(finishing, key=lambda i: lines[i].least, default=None), False
    fastest = min(lines[i].hours or 0.0 for i in hearing)
    alike = [i for i in hearing if (lines[i].hours or 0.0) <= ALIKE * fastest]
    return max(alike, key=lambda i: lines[i].least), True


def in_words(group: Group) -> str:
    """Return what is assumed of a group."""
    speed, line, there = group.speed, group.network, group.availability
    parts = [
        f"{group.name}: a round takes {speed.median_seconds:g} s at half of them "
        f"(log spread {speed.between:g} between merchants, {speed.within:g} between rounds)",
        f"{line.megabits_down:g} megabits down and {line.megabits_up:g} up",
        "always online" if there.hours >= 24 else f"online {there.hours:g} hours a day",
    ]
    if there.hours < 24:
        parts.append(f"from about {there.opens:g} o'clock (± {there.opens_spread:g} h)")
    if there.lost:
        parts.append(f"{there.lost:.1%} of questions come to nothing")
    if there.leaves_per_day:
        parts.append(f"{there.leaves_per_day:.1%} leave for good each day")
    if there.joins_to_hours:
        parts.append(f"they join after {there.joins_from_hours:g} to {there.joins_to_hours:g} hours")
    return "; ".join(parts)


def _line(plan: Plan, point: Point, runs: _Runs, trained: Path) -> Line:
    tallies = [tally for tally, _ in runs]
    hours = [tally.rounds[-1].hours for tally, done in runs if done]
    low, median, high = np.percentile(hours, (5, 50, 95)) if hours else (None, None, None)
    down, up = bytes_of(point.federation)
    moved = np.mean([tally.questions * down + tally.answers * up for tally in tallies])
    return Line(
        values=point.values,
        finished=len(hours) / len(runs),
        hours=_plain(median),
        hours_low=_plain(low),
        hours_high=_plain(high),
        lost=float(np.mean([tally.lost for tally in tallies])),
        stops=float(np.mean([tally.stops for tally in tallies])),
        heard={group.name: _heard(tallies, group.name) for group in plan.file.group},
        gigabytes=float(moved) / 1e9,
        curve=curve(trained),
        engine=report.said(trained),
    )


def _heard(tallies: Sequence[Tally], group: str) -> float:
    due = sum(tally.due.get(group, 0.0) for tally in tallies)
    return sum(tally.heard.get(group, 0.0) for tally in tallies) / due if due else 0.0


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)
