"""A schedule from its file to its page; the real coordinator hears whom the simulation says it hears."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from shared_model.errors import ConfigError
from simulations.compare.bench import Bench, prepared
from simulations.datasets import read
from simulations.experiment import load_experiment
from simulations.runs import manifest, recording
from simulations.runs.asked import Asked
from simulations.schedule import page, plan, table, training
from simulations.schedule.plan import Plan
from simulations.schedule.rounds import simulated
from simulations.schedule.table import Line
from tests.simulations.sweep import sweeps

GROUPS: list[dict[str, Any]] = [
    {"name": tier, "speed": {"median_seconds": 60.0, "between": 1.0}, "availability": {"lost": 0.2}}
    for tier in ("small", "medium", "large")
]
GRID = {"deadline_seconds": [50.0, 5000.0], "quorum": [0.5]}


def silent(*_: object) -> None:
    """Tell nobody of progress."""


def write(folder: Path, *, groups: list[dict[str, Any]] = GROUPS, **asked: Any) -> Path:
    """Write a schedule of the tiny market of the sweeps."""
    sweeps.write(folder)
    tables = {"repeats": 5, "grid": GRID, **asked}
    file = {"schedule": tables, "coordinator": {"restart_hours": 1.0}, "group": groups}
    (folder / "schedule.toml").write_text(tomli_w.dumps(file))
    return folder / "schedule.toml"


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("schedule")
    return plan.load(write(folder, experiment="tiny.toml", grid={**GRID, "rounds": [6]}))


@pytest.fixture(scope="module")
def bench(planned: Plan) -> Bench:
    assert planned.experiment is not None
    market = read(load_experiment(planned.experiment).market, planned.experiment.parent)
    return prepared(market, planned.points[0].tables, out=planned.experiment.parent / "work", seed=0)


def test_the_real_coordinator_hears_whom_the_simulation_hears_and_when(planned: Plan, bench: Bench) -> None:
    point, merchants = planned.points[0], training.merchants_of(planned, 0)
    tally, finished = simulated(
        training.timeline_of(planned, point, merchants),
        point.federation,
        planned.file.coordinator,
        lineage=training.lineage(0),
    )
    looks = training.trained(bench, training.timeline_of(planned, point, merchants), planned, seed=0)
    assert finished
    assert tally.lost > 0
    assert [set(look.accepted) for look in looks] == [set(closed.accepted) for closed in tally.rounds]
    np.testing.assert_allclose([look.hours for look in looks], [closed.hours for closed in tally.rounds])
    assert looks[-1].loss < 1.0


def test_a_study_leaves_numbers_a_page_and_a_run_directory(tmp_path: Path) -> None:
    groups = [{**group, "merchants": 4} for group in GROUPS]
    file = write(tmp_path, contract="federation.toml", groups=groups)
    asked = Asked(study="schedule", file=file, out=tmp_path / "out", arguments={"data": None, "workers": 1})
    found = recording.perform(asked, silent)
    assert found.recommended == 1
    assert json.loads((asked.out / "schedule.json").read_text())["recommended"] == 1
    text = (asked.out / "schedule.html").read_text()
    assert "Assumed, not measured." in text
    assert "small: a round takes 60 s at half of them" in text
    assert page.answer(found).startswith("Take deadline_seconds = 5000 and quorum = 0.5: a training then")
    assert [one.name for one in manifest.read(asked.out).inputs] == ["schedule.toml", "federation.toml"]


def test_the_same_file_gives_the_same_numbers(tmp_path: Path) -> None:
    groups = [{**group, "merchants": 4} for group in GROUPS]
    asked = plan.load(write(tmp_path, contract="federation.toml", groups=groups))
    first, second = (table.results(asked, tmp_path, "", silent) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: write(f, contract="federation.toml", groups=GROUPS), "group.small.merchants"),
        (lambda f: write(f, contract="federation.toml", experiment="tiny.toml"), "either contract or experi"),
        (lambda f: write(f, contract="federation.toml", train=True), "only with an experiment"),
        (lambda f: write(f, experiment="tiny.toml", groups=GROUPS[1:]), "a group small"),
        (lambda f: write(f, experiment="tiny.toml", grid={"quorum": [0.5, 2.0]}), "at quorum = 2.0"),
        (lambda f: write(f, experiment="tiny.toml", grid={"local_steps": [1]}), "grid.local_steps"),
    ],
)
def test_what_the_file_may_not_say_is_named(
    tmp_path: Path, change: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        plan.load(change(tmp_path))


def line(hours: float | None, least: float, finished: float = 1.0) -> Line:
    return Line(
        values={"quorum": 0.5},
        finished=finished,
        hours=hours,
        hours_low=hours,
        hours_high=hours,
        lost=0.0,
        stops=0.0,
        heard={"a": 1.0, "b": least},
        gigabytes=0.0,
        curve=(),
    )


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        ([line(9.0, 0.9), line(5.0, 0.85), line(1.0, 0.5)], (1, True)),
        ([line(5.0, 0.85), line(5.2, 0.95)], (1, True)),
        ([line(5.0, 0.85, finished=0.9), line(9.0, 0.85)], (1, True)),
        ([line(5.0, 0.1), line(9.0, 0.3)], (1, False)),
        ([line(None, 0.0, finished=0.0)], (None, False)),
    ],
    ids=["fastest that hears", "alike in time", "must finish", "hears most", "none finishes"],
)
def test_the_recommended_point(lines: list[Line], chosen: tuple[int | None, bool]) -> None:
    assert table.choice(lines, 0.8) == chosen


def test_the_answer_says_where_nothing_is_enough_and_where_nothing_finishes(planned: Plan) -> None:
    quick = replace(planned, file=replace(planned.file, schedule=replace(planned.file.schedule, repeats=1)))
    found = table.results(quick, Path("nowhere"), "", silent)
    poor = replace(found, lines=(line(2.0, 0.5),), recommended=0, enough=False)
    assert page.answer(poor).endswith("That is less than the 80% you want, which no point reaches.")
    assert "No point finishes in 95%" in page.answer(replace(poor, recommended=None))


@pytest.mark.slow
def test_points_are_trained_once_in_processes_of_their_own(tmp_path: Path) -> None:
    file = write(tmp_path, experiment="tiny.toml", train=True)
    asked = Asked(study="schedule", file=file, out=tmp_path / "out", arguments={"data": None, "workers": 2})
    found = recording.perform(asked, silent)
    assert [len(one.curve) for one in found.lines] == [2, 2]
    assert all("merchants of a round" in one.engine[0] for one in found.lines)
    shutil.rmtree(tmp_path / "out" / "trained" / "001")
    assert recording.perform(asked, silent).lines == found.lines
