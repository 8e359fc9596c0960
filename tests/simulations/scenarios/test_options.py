"""What a scenario may be told."""

from pathlib import Path
from typing import Any

import pytest

from shared_model import declared
from shared_model.errors import ConfigError
from shared_model.schema import Federation
from simulations.experiment import load_experiment
from simulations.scenarios import ScenarioMarket, generate, read

EXPERIMENT = """
[experiment]
name = "mine"
contract = "mine.federation.toml"
[market]
kind = "scenario"
"""


def parsed(**tables: Any) -> ScenarioMarket:
    return declared.parse(ScenarioMarket, {"kind": "scenario", **tables}, file="market.toml")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"relatednes": 0.5}, "did you mean relatedness"),
        ({"relatedness": 1.5}, "relatedness is 1.5"),
        ({"size": {"kind": "fixed", "rows": 2}}, "size.rows is 2"),
        ({"size": {"kind": "bimodal"}}, "log_normal"),
        ({"size": {"kind": "uniform", "least": 90, "most": 50}}, "size.least 90 at most size.most 50"),
        ({"days": 40, "test_days": 30, "validation_days": 10}, "validation_days \\+ test_days below days"),
        ({"merchant": "Shop"}, "merchant is 'Shop'"),
        ({"tasks": {"late": {"signal": -1.0}}}, "tasks.late.signal is -1.0"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parsed(**tables)


def test_a_knob_of_a_task_that_the_contract_does_not_have_is_refused(contract: Federation) -> None:
    with pytest.raises(ConfigError, match=r"tasks.lata is 'lata'; allowed: one of late, days"):
        generate(parsed(tasks={"lata": {"signal": 1.0}}), contract)


def test_a_scenario_without_a_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"market.contract is missing"):
        read(parsed(), tmp_path)


def test_the_contract_of_an_experiment_is_that_of_its_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(EXPERIMENT)
    market = load_experiment(tmp_path / "mine.toml").market
    assert isinstance(market, ScenarioMarket)
    assert market.contract == "mine.federation.toml"


def test_a_scenario_of_another_contract_than_the_experiments_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(EXPERIMENT + 'contract = "other.toml"')
    with pytest.raises(ConfigError, match=r"without market.contract"):
        load_experiment(tmp_path / "mine.toml")


def test_a_task_has_the_knobs_of_its_market_where_it_has_none_of_its_own() -> None:
    knobs = parsed(relatedness=0.4, signal=2.0, tasks={"late": {"relatedness": 0.0}}).of_task("late")
    assert (knobs.relatedness, knobs.signal) == (0.0, 2.0)
