"""The oracle foresees what regressions find on drawn data, and says whom federating helps."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared_model import declared, schema
from shared_model.schema import Federation
from simulations.scenarios import ScenarioMarket, Truth, generate, truths
from simulations.scenarios.information import information
from simulations.scenarios.options import Fixed, Listed, TaskKnobs
from simulations.scenarios.world import World
from tests.simulations.scenarios.regressions import fitted

REGRESSION = {"kind": "regression"}
BINARY = {"kind": "binary", "initial": 0.3}


def world_of(task: dict[str, Any], **knobs: Any) -> World:
    tables = {
        "federation": {"name": "small", "rounds": 1},
        "bottom": {"architecture": "wide"},
        "tasks": {"task": task},
        "features": {f"x{n}": {"kind": "numeric"} for n in range(4)},
    }
    contract = declared.parse(Federation, tables, file="small.toml")
    plain = {"feature_shift": 0.0, "label_shift": 0.0, "likeness": 0.0}
    return World(ScenarioMarket(**(plain | knobs)), contract)


def answers(task: dict[str, Any], **knobs: Any) -> list[Truth]:
    return [found["task"] for found in truths(world_of(task, **knobs)).values()]


def rows(*numbers: int) -> Listed:
    return Listed(kind="listed", rows=numbers)


@pytest.mark.parametrize("relatedness", [0.0, 0.6, 0.95])
def test_it_foresees_the_error_of_regressions_with_the_right_prior(relatedness: float) -> None:
    # 60 markets of 4 merchants with 4 coefficients: 960 squares, whose mean has a standard error of 5 %
    # (more with relatedness, since merchants then miss alike); rows that are not exactly uncorrelated add
    # about 4 / 130 to what regressions miss. Four standard errors: a false alarm in 15,000 seeds
    knobs = {"merchants": 4, "size": Fixed(kind="fixed", rows=200), "relatedness": relatedness}
    measured = np.mean([fitted(world_of(REGRESSION, seed=s, **knobs), binary=False) for s in range(60)], 0)
    foreseen = answers(REGRESSION, **knobs)[0]
    assert foreseen.alone**2 - foreseen.floor**2 == pytest.approx(measured[0], rel=0.2)
    assert foreseen.federated**2 - foreseen.floor**2 == pytest.approx(measured[1], rel=0.2)


def test_it_foresees_the_error_of_logistic_regressions() -> None:
    knobs = {"merchants": 4, "size": Fixed(kind="fixed", rows=400), "relatedness": 0.8}
    measured = np.mean([fitted(world_of(BINARY, seed=s, **knobs), binary=True) for s in range(30)], 0)
    world = world_of(BINARY, **knobs)
    per_row = information(world.contract.tasks["task"], world.level[None], np.ones(1), 1.0).per_row[0, 0]
    foreseen = truths(world)["synthetic-shop-01"]["task"]
    # 480 squares: 6 % is a standard error of their mean; the second order misses some of a logistic loss
    assert 2 * (foreseen.alone - foreseen.floor) / per_row == pytest.approx(measured[0], rel=0.25)
    assert 2 * (foreseen.federated - foreseen.floor) / per_row == pytest.approx(measured[1], rel=0.25)


def test_one_coefficient_can_be_computed_by_hand() -> None:
    # s^2 = 1 / 4, noise 1, 30 training rows of 45 (240 of 360 days): e = 1 / 30
    found = answers(REGRESSION, merchants=2, size=Fixed(kind="fixed", rows=45), relatedness=0.5)[0]
    alone = 1 / (4 + 30)  # a + b = 1 / 4
    others = 1 / (8 + 1 / (1 / 8 + 1 / 30))  # a = b = 1 / 8
    federated = 1 / (1 / (others + 1 / 8) + 30)
    assert found.rows == pytest.approx(30)
    assert found.alone**2 == pytest.approx(1 + 4 * alone, rel=0.01)
    assert found.federated**2 == pytest.approx(1 + 4 * federated, rel=0.01)


@pytest.mark.parametrize("task", [REGRESSION, BINARY, {"kind": "count", "initial": 2.0}])
def test_nobody_gains_from_others_who_are_not_related(task: dict[str, Any]) -> None:
    found = answers(task, relatedness=0.0, merchants=5)
    assert [a.gain for a in found] == pytest.approx([0.0] * 5, abs=1e-12)
    assert not any(a.helps for a in found)


def test_the_small_gain_most_from_related_merchants() -> None:
    small, large = answers(REGRESSION, relatedness=0.95, merchants=2, size=rows(40, 4000))
    assert small.helps
    assert not large.helps
    assert small.gain > 10 * large.gain


def test_the_shared_part_alone_harms_where_nothing_is_shared() -> None:
    found = answers(REGRESSION, relatedness=0.0, merchants=3)[0]
    assert found.prior > found.alone


def test_where_everything_is_shared_no_part_of_its_own_is_needed() -> None:
    found = answers(REGRESSION, relatedness=1.0, merchants=3)[0]
    assert found.prior == pytest.approx(found.federated)


def test_strangers_gain_nothing_and_teach_nothing() -> None:
    knobs = {"relatedness": 1.0, "merchants": 8, "size": Fixed(kind="fixed", rows=60)}
    world = world_of(REGRESSION, strangers=0.5, **knobs)
    strange = [world.character(m).stranger for m in range(8)]
    found = [a["task"] for a in truths(world).values()]
    assert [a.gain < 1e-12 for a in found] == strange
    friends = 8 - sum(strange)
    assert max(a.gain for a in found) == pytest.approx(
        answers(REGRESSION, **(knobs | {"merchants": friends}))[0].gain
    )


def test_what_a_model_cannot_see_costs_both_ways() -> None:
    plain, seasonal = (answers(REGRESSION, merchants=3, season=s)[0] for s in (0.0, 1.0))
    assert seasonal.alone**2 - plain.alone**2 == pytest.approx(1.0, rel=0.02)
    assert seasonal.federated**2 - plain.federated**2 == pytest.approx(1.0, rel=0.02)


def test_what_a_wide_bottom_does_not_read_is_lost_to_all(contract: Federation) -> None:
    wide = replace(contract, bottom=schema.Wide(architecture="wide"))
    whole, numbers = (
        truths(World(ScenarioMarket(merchants=2), c))["synthetic-shop-01"]["late"] for c in (contract, wide)
    )
    assert numbers.floor == whole.floor
    assert min(numbers.alone, numbers.federated) > whole.alone


def test_drift_leaves_less_to_learn_from_the_past() -> None:
    still, drifting = (answers(REGRESSION, merchants=3, drift=d)[0] for d in (0.0, 0.8))
    assert drifting.alone > still.alone
    assert 0 < drifting.gain < still.gain


def test_a_task_of_few_merchants_has_an_answer_for_these_alone(contract: Federation) -> None:
    options = ScenarioMarket(merchants=20, tasks={"late": TaskKnobs(share=0.5)})
    world = World(options, contract)
    found = truths(world)
    assert {n for n, a in found.items() if "late" in a} == {
        c.name for c in map(world.character, range(20)) if "late" in c.tasks
    }


def test_a_market_carries_the_answer(contract: Federation) -> None:
    options = ScenarioMarket(merchants=2, relatedness=0.9, size=Fixed(kind="fixed", rows=40))
    found: Any = generate(options, contract).truth
    assert set(found["tasks"]) == set(contract.tasks)
    assert found["merchants"]["synthetic-shop-01"]["tasks"]["late"]["gain"] > 0
    unrelated: Any = generate(replace(options, relatedness=0.0), contract).truth
    assert not any(task["helps"] for task in unrelated["tasks"].values())
