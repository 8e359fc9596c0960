"""Means, gains and choices of the learning curves, by hand."""

import numpy as np
import pytest

from shared_model.schema import Federation, parse_federation
from simulations.transfer.curves import (
    ALL_ORDERS,
    ALONE,
    ENOUGH,
    EVERYBODY,
    PRIOR,
    WARM,
    Measured,
    Transfer,
    interval,
    summarised,
)

LINEAR, NETWORK = "alone: linear", "alone: network"


def contract() -> Federation:
    return parse_federation(
        {
            "federation": {"name": "tiny", "rounds": 1},
            "features": {"price": {"kind": "numeric"}},
            "tasks": {"late": {"kind": "binary"}},
            "bottom": {"architecture": "wide"},
        }
    )


def measured(
    method: str,
    orders: int,
    test: float,
    *,
    merchant: str = "a",
    validation: float | None = None,
    has: int = 500,
) -> Measured:
    return Measured(
        merchant=merchant,
        seed=0,
        orders=orders,
        has=has,
        method=method,
        task="late",
        test=test,
        validation=test if validation is None else validation,
    )


def found(*more: Measured) -> Transfer:
    """Log losses of two merchants, of which the second has 100 orders only."""
    curves = [
        measured(method, orders, test, merchant=merchant, has=has)
        for merchant, has, less in (("a", 500, 0.0), ("b", 100, 0.2))
        for method, losses in {
            LINEAR: {50: 0.8, 200: 0.6, ALL_ORDERS: 0.5},
            PRIOR: {50: 0.45, 200: 0.45, ALL_ORDERS: 0.45},
        }.items()
        for orders, test in ((n, loss - less) for n, loss in losses.items())
    ]
    return summarised(
        [*curves, *more],
        contract(),
        seeds=(0,),
        name="town",
        command="",
        environment={},
        privacy="",
        sent="3 rounds, 1,000 bytes down",
        folds=2,
    )


def points(transfer: Transfer, group: str, method: str) -> dict[int, tuple[float, float]]:
    return {
        p.orders: (round(p.mean, 6), round(p.gain_percent, 6))
        for p in transfer.points
        if (p.group, p.method) == (group, method)
    }


def test_means_are_over_merchants_and_gains_over_alone_at_the_same_number_of_orders() -> None:
    # with 50 orders: alone (.8 + .6) / 2 = .7, the prior (.45 + .25) / 2 = .35: 50 % less
    made = found()
    assert points(made, EVERYBODY, ALONE)[50] == (0.7, 0.0)
    assert points(made, EVERYBODY, PRIOR)[50] == (0.35, 50.0)


def test_all_orders_stand_last() -> None:
    assert list(points(found(), EVERYBODY, ALONE)) == [50, 200, ALL_ORDERS]


def test_merchants_with_too_few_orders_are_in_the_first_group_only() -> None:
    made = found()
    assert {p.merchants for p in made.points if p.group == ENOUGH} == {1}
    assert points(made, ENOUGH, ALONE)[200] == (0.6, 0.0)


def test_the_question_compares_few_orders_with_many_at_merchants_that_have_them() -> None:
    # merchant a alone: .6 with 200 orders, warm-started .45 with 50: 25 % less
    answer, _ = found().head_starts
    assert (answer.merchants, answer.better) == (1, 1)
    assert (answer.alone, answer.warm, answer.gain_percent) == pytest.approx((0.6, 0.45, 25.0))
    assert answer.low_percent is None
    assert answer.verdict == "cannot tell"


def test_the_second_answer_is_against_the_way_that_was_best_in_hindsight() -> None:
    # a network looks bad on validation rows and is best on test rows: .5 with 200 orders, so 10 % are left
    more = [
        measured(NETWORK, 200, test, merchant=m, validation=0.9, has=has)
        for m, has, test in (("a", 500, 0.5), ("b", 100, 0.5))
    ]
    chosen, best = found(*more).head_starts
    assert (chosen.against, chosen.hindsight) == (LINEAR, False)
    assert (best.against, best.hindsight) == (NETWORK, True)
    assert best.gain_percent == pytest.approx(10.0)


def test_ways_are_chosen_on_validation_rows_and_not_on_test_rows() -> None:
    more = [
        measured(NETWORK, 50, 0.1, merchant=m, validation=0.9, has=has) for m, has in (("a", 500), ("b", 100))
    ]
    (curve,) = found(*more).curves
    assert curve.ways[ALONE]["50"] == LINEAR


def test_a_better_way_on_validation_rows_is_taken_at_that_number_of_orders_alone() -> None:
    more = [
        measured(NETWORK, 50, 0.7, merchant=m, validation=0.1, has=has) for m, has in (("a", 500), ("b", 100))
    ]
    (curve,) = found(*more).curves
    assert [curve.ways[ALONE][n] for n in ("50", "200", "all")] == [NETWORK, LINEAR, LINEAR]


def test_a_way_that_not_every_merchant_can_go_is_none() -> None:
    (curve,) = found(measured(NETWORK, 50, 0.1, validation=0.1)).curves
    assert curve.ways[ALONE]["50"] == LINEAR
    assert curve.ways[WARM]["50"] == PRIOR


def test_an_interval_covers_merchants_and_seeds() -> None:
    # two merchants of gains 0 and 1 in one seed, 0 and 3 in the other: means of draws lie between 0 and 3
    made = interval(np.array([[0.0, 0.0], [1.0, 3.0]]), np.random.default_rng(0))
    assert (made.estimate, made.low, made.high) == (1.0, 0.0, 3.0)
