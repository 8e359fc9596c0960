"""The plan of a tier. The budget is the contract's, and nothing but public constants shapes it."""

import math
from typing import Any

import pytest

from shared_model.errors import ConfigError
from shared_model.privacy.accounting import epsilon
from shared_model.privacy.plan import JOINT, Plan, plan_of
from shared_model.schema import parse_federation

TASKS = {
    "late": {"kind": "binary", "library": "late"},
    "days": {"kind": "regression", "library": "delivery_days"},
    "units": {"kind": "regression", "library": "units"},
    "next_item": {"kind": "retrieval", "library": "next_item"},
}


def tables(**privacy: Any) -> dict[str, Any]:
    return {
        "federation": {"name": "tiny", "rounds": 4, "local_steps": 1, "full_batch": True},
        "features": {"price": {"kind": "numeric"}},
        "tasks": dict(TASKS),
        "bottom": {"architecture": "wide"},
        "privacy": {"epsilon": 8.0, "delta": 1e-6, "tasks": {"units": {"labels": "one_product"}}, **privacy},
    }


def sampled(**privacy: Any) -> dict[str, Any]:
    given = tables(**privacy)
    given["federation"] |= {"full_batch": False, "expected_batch": 50, "local_steps": 3}
    given["tasks"] = {name: TASKS[name] for name in ("late", "days")}
    given["privacy"]["tasks"] = privacy.get("tasks", {})
    given["tiers"] = {"large": {"shoppers": 500, "weight": 1.0}}
    return given


def plan(given: dict[str, Any], tier: str = "any") -> Plan:
    return plan_of(parse_federation(given), tier)


def groups(found: Plan) -> dict[str, Any]:
    return {group.name: group for group in found.groups}


def test_the_whole_plan_costs_what_was_promised_and_not_more() -> None:
    found = plan(tables())
    assert 7.99 < epsilon(found.events(), 1e-6) <= 8.0


def test_a_sampled_plan_costs_what_was_promised_and_not_more() -> None:
    found = plan(sampled(), "large")
    assert 7.9 < epsilon(found.events(), 1e-6) <= 8.0


def test_the_sampling_rate_is_the_expected_batch_of_the_least_size_of_the_tier() -> None:
    assert plan(sampled(), "large").sampling_rate == 0.1  # 50 of 500


def test_each_task_with_a_prior_is_a_clip_group_and_the_choice_of_an_item_is_none() -> None:
    assert sorted(groups(plan(tables()))) == ["days", "late", "units"]


def test_rows_of_items_have_twice_the_sensitivity() -> None:
    found = groups(plan(tables(clipping_norm=3.0)))
    assert (found["late"].sensitivity, found["units"].sensitivity) == (3.0, 6.0)


def test_a_task_with_four_times_the_share_has_half_the_noise() -> None:
    found = groups(plan(tables(tasks={"units": {"share": 4.0, "labels": "one_product"}})))
    assert found["late"].noise_multiplier == pytest.approx(2 * found["units"].noise_multiplier)


def test_clip_groups_of_one_step_are_one_mechanism() -> None:
    found = plan(tables())  # three equal shares: 1/s^2 = 3/s_group^2
    assert found.noise_multiplier == pytest.approx(found.groups[0].noise_multiplier / math.sqrt(3))


def test_statistics_take_their_share_of_the_precision() -> None:
    given = tables(statistics=0.1)
    given["features"] = {"trailing_delivery_days": {"kind": "numeric"}}
    found = plan(given)
    assert found.statistics_multiplier is not None
    once = found.statistics_multiplier**-2
    rounds = 4 * found.noise_multiplier**-2
    assert once / (once + rounds) == pytest.approx(0.1)


def test_telemetry_takes_its_share_of_the_precision() -> None:
    found = plan(tables(telemetry={"share": 0.2, "bound": 1.0}))
    assert found.telemetry is not None
    watched, learnt = found.telemetry.noise_multiplier**-2, found.noise_multiplier**-2
    assert watched / (watched + learnt) == pytest.approx(0.2)


def test_telemetry_is_counted_in_the_first_step_of_a_round_alone() -> None:
    first, others = plan(sampled(telemetry={"share": 0.2}), "large").round_events()
    assert (first.count, others.count) == (1, 2)
    assert first.noise_multiplier < others.noise_multiplier


def test_a_network_is_one_clip_group() -> None:
    given = sampled()
    given["bottom"] = {"architecture": "shared_bottom"}
    assert [group.name for group in plan(given, "large").groups] == [JOINT]


def test_a_tier_may_have_its_own_divisor_and_learning_rate() -> None:
    given = sampled()
    given["tiers"]["large"] |= {"expected_batch": 100, "learning_rate": 0.5}
    found = plan(given, "large")
    assert (found.divisor, found.learning_rate, found.sampling_rate) == (100.0, 0.5, 0.2)


def test_a_contract_without_privacy_has_no_plan() -> None:
    given = tables()
    del given["privacy"]
    with pytest.raises(ConfigError, match="privacy"):
        plan(given)


def test_an_unknown_tier_has_no_plan() -> None:
    with pytest.raises(ConfigError, match="one of any"):
        plan(tables(), "huge")


def test_a_task_that_stays_at_home_takes_no_part_of_the_budget() -> None:
    at_home = plan(tables(tasks={"units": {"labels": "at_home"}}))
    without = {name: TASKS[name] for name in ("late", "days", "next_item")}
    assert at_home == plan({**tables(tasks={}), "tasks": without})


NOISED = {"units": {"labels": "noised", "share": 2.0, "lines": 4, "quantity": 3.0}}


def test_counts_have_their_share_and_the_whole_costs_what_was_promised() -> None:
    found = plan(tables(tasks=NOISED))
    assert found.counts is not None
    assert found.counts.sensitivity == 6.0  # 3 units in each of 4 places: 3 x sqrt(4)
    # units has the share 2 of 4, so counts have as much of 1 / noise multiplier^2 as the 4 steps together
    assert found.counts.noise_multiplier**-2 == pytest.approx(4 * found.noise_multiplier**-2)
    assert found.events()[0].noise_multiplier == found.counts.noise_multiplier
    assert 7.99 < epsilon(found.events(), 1e-6) <= 8.0


def test_training_on_what_was_told_costs_nothing_and_has_no_noise() -> None:
    found = plan(tables(tasks=NOISED))
    assert set(groups(found)) == {"late", "days"}
    assert [(group.name, group.noise_std) for group in found.told] == [("units", 0.0)]


def test_under_one_clip_rows_that_were_told_have_no_group_of_their_own() -> None:
    given = tables(tasks={"units": {"labels": "noised"}})
    given["bottom"] = {"architecture": "shared_bottom"}
    found = plan(given)
    assert (found.told, set(groups(found))) == ((), {JOINT})
    assert found.counts is not None
