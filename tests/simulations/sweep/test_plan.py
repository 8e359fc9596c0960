"""Every point of a grid is checked, by the name of its key, before anything is trained."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from shared_model.errors import ConfigError
from simulations.scenarios import ScenarioMarket
from simulations.sweep import plan, running, work

from . import sweeps


def test_every_combination_is_a_point_and_the_last_key_changes_fastest(tmp_path: Path) -> None:
    grid = {"local.learning_rate": [0.1, 0.2], "market.merchants": [2, 3]}
    found = plan.load(sweeps.write(tmp_path, grid))
    assert [tuple(p.values.values()) for p in found.points] == [(0.1, 2), (0.1, 3), (0.2, 2), (0.2, 3)]
    assert found.points[1].contract["local"] == {"optimizer": "adam", "learning_rate": 0.1}
    assert found.points[1].experiment["market"]["merchants"] == 3


BAD: dict[str, tuple[dict[str, list[Any]], str]] = {
    "an unknown table": ({"locals.learning_rate": [1.0]}, "sweep.grid.locals.learning_rate"),
    "an unknown key": ({"local.learning_rat": [1.0]}, "local.learning_rat.*did you mean learning_rate"),
    "an unknown key of the experiment": ({"market.shops": [3]}, "market.shops"),
    "a value out of range": ({"local.learning_rate": [0.1, -1.0]}, "at local.learning_rate = -1.0: local.le"),
    "a table that is not there": ({"privacy.epsilon": [1.0]}, "at privacy.epsilon = 1.0: privacy"),
    "too many points": ({"local.learning_rate": [0.1] * 10_001}, "10000 at most"),
}


@pytest.mark.parametrize(("grid", "said"), BAD.values(), ids=BAD)
def test_a_bad_key_or_value_is_named(tmp_path: Path, grid: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan.load(sweeps.write(tmp_path, grid))


def test_a_point_has_the_same_name_in_another_grid(tmp_path: Path) -> None:
    first = plan.load(sweeps.write(tmp_path))
    more = plan.load(sweeps.write(tmp_path, {"local.learning_rate": [0.5, 0.01]}))
    assert first.key(first.points[1]) == more.key(more.points[1])
    assert first.key(first.points[0]) != first.key(first.points[1])


def test_an_architecture_replaces_the_whole_bottom(tmp_path: Path) -> None:
    found = plan.load(sweeps.write(tmp_path, {"bottom": [{"architecture": "wide"}]}))
    assert found.points[0].contract["bottom"] == {"architecture": "wide"}


def test_the_seeds_of_the_experiment_are_taken_where_none_are_given(tmp_path: Path) -> None:
    assert plan.load(sweeps.write(tmp_path, seeds=[])).seeds == (0,)


def test_a_scenario_is_made_over_the_contract_of_the_point(tmp_path: Path) -> None:
    file = sweeps.write(tmp_path, {"market.relatedness": [0.1]})
    (tmp_path / "tiny.toml").write_text(
        tomli_w.dumps({**sweeps.EXPERIMENT, "market": {"kind": "scenario", "merchants": 2}})
    )
    found = plan.load(file)
    job = running.job_of(found, found.points[0], tmp_path / "out", (0,))
    market = work.experiment_of(job).market
    assert isinstance(market, ScenarioMarket)
    assert market.contract == str(job.folder / "federation.toml")
    assert market.relatedness == 0.1
