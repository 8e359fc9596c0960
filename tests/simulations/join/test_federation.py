"""Sentences about everybody follow from verdicts alone."""

from dataclasses import replace

from server.reporting.results import Cell, Summary
from simulations.join.federation import of_contributions, of_everybody, of_its_like, sentences
from simulations.statistics import Verdict
from tests.simulations.join.test_verdicts import HELPS, HURTS, UNKNOWN, contribution


def cell(merchant: str, verdict: Verdict, task: str = "late") -> Cell:
    return Cell(
        merchant=merchant, task=task, test_rows=9, alone=0.5, federated=0.4, gain=0.1, verdict=verdict
    )


def test_who_gains_is_counted_and_who_loses_is_named() -> None:
    cells = [cell("a", "gains"), cell("b", "gains"), cell("b", "loses", "days"), cell("c", "cannot tell")]
    assert of_everybody(cells) == (
        "2 of 3 merchants gain clearly on a task or more; b loses clearly on a task or more "
        "(b gains on another)."
    )


def test_where_nobody_loses_it_is_said() -> None:
    assert of_everybody([cell("a", "gains")]) == (
        "1 of 1 merchants gain clearly on a task or more; none loses clearly on any."
    )


def test_where_nothing_is_clear_nothing_is_claimed() -> None:
    assert of_everybody([cell("a", "cannot tell")]).startswith("For none of 1 merchants")


def test_whom_the_others_would_miss_is_named_the_strongest_first() -> None:
    more = replace(HELPS, percent=9.0)
    found = [contribution(HELPS), replace(contribution(more), merchant="b"), contribution(HURTS, "units")]
    assert of_contributions(found, seeds=3) == (
        "Of 2 merchants left out in turn, the others would clearly miss b (bad review) and acme (bad review) "
        "and would clearly do better without acme (units)."
    )


def test_with_one_seed_the_noise_of_one_training_is_named() -> None:
    found = [contribution(HELPS), replace(contribution(UNKNOWN), merchant="b")]
    assert of_contributions(found, seeds=1).endswith("; with one seed that may be the noise of one training.")


def test_of_one_merchant_left_out_nothing_is_said_of_the_others_contributions() -> None:
    assert sentences([], [contribution(HELPS)], seeds=3) == ()


def summary(task: str, low: float, high: float, merchants: int = 16) -> Summary:
    return Summary(
        task=task, group="small", merchants=merchants, alone=0.5, gain=(low + high) / 2, low=low, high=high,
        wins=1, worse_than_2_percent=0,
    )  # fmt: skip


def test_merchants_like_it_are_told_where_their_interval_excludes_zero() -> None:
    found = [summary("late", 0.05, 0.15), summary("days", -0.1, 0.1), summary("units", -0.02, -0.01)]
    assert of_its_like(found) == (
        "On average over 16 merchants of its group, small, joining helps late (20.0 %, between 10.0 and "
        "30.0 %) and hurts units (3.0 %, between 2.0 and 4.0 %)."
    )


def test_of_few_merchants_like_it_that_is_a_hint() -> None:
    assert of_its_like([summary("days", -0.1, 0.1, merchants=3)]) == (
        "On average over 3 merchants of its group, small, joining shows no clear difference on any task, "
        "a hint only of fewer than 10."
    )


def test_a_merchant_without_its_like_is_told_nothing_of_them() -> None:
    assert of_its_like([summary("days", 0.1, 0.2, merchants=1)]) == ""
