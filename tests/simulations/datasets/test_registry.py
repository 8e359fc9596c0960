from pathlib import Path
from typing import get_args

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError
from simulations.datasets import MADE_UP, READERS, MarketOptions, SyntheticMarket, read
from simulations.experiment import load_experiment

EXPERIMENTS = Path(__file__).parents[3] / "simulations" / "experiments"


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Scenario:
    market: MarketOptions = Field()


def parse(**market: object) -> Scenario:
    return declared.parse(Scenario, {"market": market}, file="scenario.toml")


def test_every_kind_of_market_has_a_reader():
    union, _ = get_args(MarketOptions)
    assert {options.__dataclass_fields__["kind"].default for options in get_args(union)} == set(READERS)


def test_a_scenario_declares_a_market_by_its_kind():
    assert parse(kind="synthetic", merchants=3).market == SyntheticMarket(merchants=3)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"market\.kind is 'amazon'.*synthetic.*olist"):
        parse(kind="amazon")


def test_an_option_of_another_market_is_refused():
    with pytest.raises(ConfigError, match="relatedness"):
        parse(kind="olist", directory=".", relatedness=1.0)


def test_the_declared_market_is_read():
    assert list(read(SyntheticMarket(merchants=2)).merchants) == ["synthetic-01", "synthetic-02"]


def test_markets_are_made_up_or_read_from_a_folder() -> None:
    assert {"synthetic", "synthetic_tables", "scenario"} == MADE_UP


@pytest.mark.parametrize("name", ["demo", "related", "credit"])
def test_an_experiment_that_makes_its_own_market_takes_no_data(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"--data is .*no folder: {name}.toml makes its own market"):
        load_experiment(EXPERIMENTS / f"{name}.toml", data=tmp_path)


def test_an_experiment_on_real_data_asks_for_their_folder() -> None:
    with pytest.raises(ConfigError, match=r"market.directory is missing.*as --data"):
        load_experiment(EXPERIMENTS / "olist.toml")


def test_the_folder_of_the_data_is_that_of_the_option(tmp_path: Path) -> None:
    market = load_experiment(EXPERIMENTS / "olist.toml", data=tmp_path).market
    assert getattr(market, "directory", "") == str(tmp_path)
