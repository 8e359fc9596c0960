"""What merchants of a scenario have in common, and what not."""

from typing import Any

import numpy as np
import pytest

from shared_model.schema import Federation
from simulations.scenarios import ScenarioMarket
from simulations.scenarios.options import Listed, Pareto, Size, TaskKnobs, Uniform
from simulations.scenarios.sizes import draw_rows
from simulations.scenarios.world import World

MANY = 400


def coefficients(contract: Federation, **knobs: Any) -> Any:
    world = World(ScenarioMarket(merchants=MANY, season=1.0, **knobs), contract)
    return np.stack([world.character(m).coefficients / world.spread for m in range(MANY)])[:, :, :-2]


@pytest.mark.parametrize("r", [0.0, 0.3, 1.0])
def test_relatedness_is_the_share_of_the_variance_that_is_common(contract: Federation, r: float) -> None:
    drawn = coefficients(contract, relatedness=r)
    # 8 outputs x 43 entries are 344 coefficients, each drawn for 400 merchants: standard error of the first
    # sqrt(2 / (344 x 400)) = 0.004, of the second, of which there are 344 draws, r sqrt(2 / 344) = 0.08;
    # a false alarm in 15,000 seeds or fewer, and the seed is fixed
    assert drawn.var(0).mean() == pytest.approx(1 - r, abs=0.02)
    assert (drawn.mean(0) ** 2).mean() == pytest.approx(r, abs=0.3)


def test_values_that_only_one_merchant_has_share_nothing(contract: Federation) -> None:
    own = World(ScenarioMarket(relatedness=1.0, vocabulary=4, vocabulary_overlap=0.5), contract).related[0]
    # category, history of categories, title and words have 4 values each, of which 2 are common
    assert int((own == 0).sum()) == 8
    assert set(own.tolist()) == {0.0, 1.0}


def test_groups_have_nothing_in_common_with_each_other(contract: Federation) -> None:
    drawn = coefficients(contract, relatedness=1.0, groups=2)
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])


def test_strangers_share_nothing_whatever_the_relatedness(contract: Federation) -> None:
    world = World(ScenarioMarket(merchants=MANY, relatedness=1.0, strangers=0.25), contract)
    strange = [c.stranger for c in map(world.character, range(MANY))]
    # 400 coins of 0.25: standard deviation 0.022; 4.5 of them is a false alarm in 150,000 seeds
    assert np.mean(strange) == pytest.approx(0.25, abs=0.1)
    drawn = coefficients(contract, relatedness=1.0, strangers=0.25)
    assert np.unique(drawn, axis=0).shape[0] == 1 + sum(strange)


def test_every_merchant_has_a_task(contract: Federation) -> None:
    world = World(ScenarioMarket(task_share=0.0), contract)
    assert {len(world.character(m).tasks) for m in range(50)} == {1}


def test_a_task_is_held_by_its_own_share_of_merchants(contract: Federation) -> None:
    world = World(ScenarioMarket(tasks={"late": TaskKnobs(share=0.0)}), contract)
    assert world.character(0).tasks == ("days", "units", "sort", "tags")


@pytest.mark.parametrize(
    ("size", "low", "high"),
    [
        (Uniform(kind="uniform", least=50, most=60), 50, 60),
        (Pareto(kind="pareto", least=50, alpha=1.0, most=500), 50, 500),
        (Listed(kind="listed", rows=(70,)), 70, 70),
    ],
)
def test_sizes_keep_to_their_bounds(size: Size, low: int, high: int) -> None:
    generator = np.random.default_rng(0)
    drawn = [draw_rows(size, number, generator) for number in range(200)]
    assert low == min(drawn)
    assert max(drawn) == high
