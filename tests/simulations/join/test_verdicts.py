"""Sentences are functions of intervals, and claim no more than those."""

import pytest

from server.reporting.results import Task
from simulations.join.report import Contribution, Cost, CurvePoint, Gain, Line, Seconds, TakingPart
from simulations.join.verdicts import (
    answer,
    for_the_others,
    of_cost,
    of_own_data,
    of_privacy,
    of_taking_part,
    sentence,
    small,
)

HELPS = Gain(percent=4.0, low=1.0, high=7.0, verdict="gains")
HURTS = Gain(percent=-3.0, low=-5.0, high=-1.0, verdict="loses")
UNKNOWN = Gain(percent=2.0, low=-3.0, high=7.0, verdict="cannot tell")
LITTLE = Gain(percent=0.1, low=-0.5, high=1.0, verdict="cannot tell")
SAME = Gain(percent=0.0, low=0.0, high=0.0, verdict="cannot tell")
FEW = Gain(percent=9.0, low=None, high=None, verdict="cannot tell")


def task(name: str = "bad_review", *, higher: bool = False) -> Task:
    metric = "recall@10" if higher else "log loss"
    return Task(
        name=name, kind="binary", metric=metric, unit="", higher_is_better=higher,
        alone_method="linear", alone_candidates={},
    )  # fmt: skip


def line(level: str, gain: Gain) -> Line:
    return Line(
        task="late", level=level, test_rows=50, shoppers=40, alone=0.5, joined=0.4, prior=None, pooled=None,
        constant=None, gain=gain, pooled_gain=None,
    )  # fmt: skip


def cost(**changes: object) -> Cost:
    told = {
        "level": "epsilon 8", "role": "train", "rounds": 60, "bytes_down": 2000, "bytes_up": 2000,
        "bytes_in_all": 242_000, "seconds": Seconds(open=0.3, round=0.02, adopt=0.2),
        "epsilon": 8.0, "delta": 1e-5,
    }  # fmt: skip
    return Cost(**(told | changes))  # type: ignore[arg-type]


def point(share: float, alone: float, receiving: float) -> CurvePoint:
    return CurvePoint(
        task="bad_review", share=share, orders=round(100 * share), way="linear", alone=alone,
        receiving=receiving, gain=UNKNOWN,
    )  # fmt: skip


def contribution(gain: Gain, name: str = "bad_review") -> Contribution:
    return Contribution(merchant="acme", task=name, others=3, joined=0.4, without=0.41, gain=gain)


@pytest.mark.parametrize(
    ("gain", "said"),
    [
        (HELPS, "Joining helps bad review: 4.0 % lower log loss, between 1.0 and 7.0 %."),
        (HURTS, "Joining hurts bad review: 3.0 % higher log loss, between 1.0 and 5.0 %."),
        (UNKNOWN, "We cannot tell for bad review: between 3.0 % higher and 7.0 % lower log loss."),
        (LITTLE, "It matters little for bad review: between 0.5 % higher and 1.0 % lower log loss."),
        (SAME, "For bad review nothing changes: what is served is what can be done alone."),
        (FEW, "We cannot tell for bad review: too few shoppers or items have test rows."),
        (
            Gain(percent=None, low=None, high=None, verdict="cannot tell"),
            "Nothing can be said of bad review: its log loss alone is zero or unknown.",
        ),
    ],
    ids=["helps", "hurts", "unknown", "little", "same", "few", "no metric"],
)
def test_a_task_is_told_by_its_interval(gain: Gain, said: str) -> None:
    assert sentence(task(), gain) == said


def test_where_more_is_better_a_gain_is_a_higher_metric() -> None:
    said = sentence(task("next_item", higher=True), HELPS)
    assert said == "Joining helps next item: 4.0 % higher recall@10, between 1.0 and 7.0 %."


@pytest.mark.parametrize(
    ("gains", "begins"),
    [
        ([HELPS, UNKNOWN], "Yes: joining helps acme on 1 of 2 tasks and hurts on none."),
        ([HELPS, HURTS], "In part: joining helps acme on 1 of 2 tasks and hurts on 1"),
        ([HURTS, UNKNOWN], "No: joining hurts acme on 1 of 2 tasks"),
        ([LITTLE, SAME], "It does not matter: on no task does joining change much for acme."),
        ([UNKNOWN, SAME], "We cannot tell: on none of 2 tasks"),
        ([FEW], "We cannot tell: on none of 1 task "),
        ([], "We cannot tell: on none of 0 tasks"),
    ],
)
def test_the_answer_counts_what_is_clear(gains: list[Gain], begins: str) -> None:
    assert answer("acme", gains).startswith(begins)


def test_an_interval_without_bounds_is_not_small() -> None:
    assert not small(FEW)


def test_every_level_of_privacy_names_what_is_left() -> None:
    lines = [line("epsilon 8", HELPS), line("epsilon 1", UNKNOWN)]
    assert of_privacy(lines) == (
        "What privacy leaves of it: epsilon 8: helps late, hurts none; epsilon 1: nothing clear."
    )


def test_a_single_level_has_nothing_to_compare() -> None:
    assert of_privacy([line("no privacy", HELPS)]) == ""


def test_few_orders_and_the_others_release_may_beat_all_orders_alone() -> None:
    said = of_own_data([point(0.25, 0.6, 0.4), point(1.0, 0.5, 0.39)], [task()])
    assert said.startswith("With 25 % of its orders and what the others released")
    assert "on bad review" in said


def test_where_own_orders_are_worth_more_nothing_is_said() -> None:
    assert of_own_data([point(0.25, 0.6, 0.55), point(1.0, 0.5, 0.49)], [task()]) == ""


def test_taking_part_without_a_clear_difference_is_not_praised() -> None:
    found = [TakingPart(task="late", receiving=0.4, joined=0.39, gain=UNKNOWN)]
    assert "shows no clear difference" in of_taking_part(found, seeds=3)


def test_taking_part_that_helps_is_named() -> None:
    found = [TakingPart(task="late", receiving=0.5, joined=0.4, gain=HELPS)]
    said = "Taking part, against only receiving the release, is better on late (by 4 %)"
    assert of_taking_part(found, seeds=3) == f"{said}."
    assert of_taking_part(found, seeds=1) == f"{said}; with one seed that may be the noise of one training."


def test_the_cost_is_traffic_work_and_privacy() -> None:
    assert of_cost(cost()) == (
        "It costs 242 kB of traffic over 60 rounds and 1.2 s of its processor (measured on this machine), "
        "and epsilon 8 of each shopper's privacy."
    )


def test_without_privacy_no_epsilon_is_named() -> None:
    assert "epsilon" not in of_cost(cost(epsilon=None, delta=None))


def test_who_only_receives_pays_no_privacy() -> None:
    said = of_cost(cost(role="receive", rounds=0, bytes_in_all=2000, epsilon=0.0))
    assert said == "It only receives: 2 kB once, and nothing about its shoppers leaves."


def test_what_it_adds_for_the_others_is_told_where_it_is_clear() -> None:
    found = [contribution(HELPS), contribution(HURTS, "units"), contribution(UNKNOWN, "late")]
    assert for_the_others("acme", found, seeds=3) == (
        "When acme takes part the others do better on bad review (by 4 %) and do worse on units (by 3 %)."
    )


def test_of_one_seed_the_noise_of_a_training_is_named() -> None:
    said = for_the_others("acme", [contribution(HELPS)], seeds=1)
    assert said.endswith("; with one seed that may be the noise of one training.")


def test_what_others_add_is_not_its_own() -> None:
    assert for_the_others("globex", [contribution(HELPS)], seeds=3) == ""
