"""Rules of choosing are judged by the test scores of what they choose."""

import numpy as np
import pytest

from shared_model.heads import measure_of
from shared_model.schema import Binary, Regression, Retrieval
from simulations.scores import Key, Scores
from simulations.selection import ALL, ORACLE, Outcome, compared

LOSS, ROOT = measure_of(Binary(kind="binary")), measure_of(Regression(kind="regression"))
HITS = measure_of(Retrieval(kind="retrieval"))
INCUMBENT, NAIVE, HARMLESS = "always the incumbent", "naive (best validation score)", "do no harm"


def scores(validation: list[float], test: list[float], merchant: str = "acme", task: str = "late") -> Scores:
    return {
        Key(merchant, task, "validation"): np.array(validation),
        Key(merchant, task, "test"): np.array(test),
    }


def outcome(found: tuple[Outcome, ...], rule: str, task: str = "late") -> Outcome:
    return next(o for o in found if (o.rule, o.task) == (rule, task))


LUCKY = {  # alone looks better on four validation rows and is worse on test rows
    "federated": scores([1.0, 0.9, 1.1, 1.0], [0.5, 0.5]),
    "alone": scores([0.0, 1.8, 0.2, 1.9], [1.0, 1.0]),
}


def test_the_naive_rule_follows_luck_and_loses_the_gain() -> None:
    found = outcome(compared(LUCKY, {"late": LOSS}), NAIVE)
    assert (found.score, found.gain_percent, found.replaced) == (1.0, 0.0, 1.0)


def test_do_no_harm_keeps_it() -> None:
    found = outcome(compared(LUCKY, {"late": LOSS}), HARMLESS)
    assert (found.score, found.gain_percent, found.kept) == (0.5, 50.0, 1.0)


def test_clear_evidence_is_followed_by_both() -> None:
    clear = {
        "federated": scores([1.0] * 30, [1.0]),
        "alone": scores([0.5 + 0.01 * (i % 3) for i in range(30)], [0.5]),
    }
    found = compared(clear, {"late": LOSS})
    assert [outcome(found, rule).score for rule in (INCUMBENT, NAIVE, HARMLESS)] == [1.0, 0.5, 0.5]


def test_a_candidate_may_be_taken_wherever_there_is_one() -> None:
    mixed = LUCKY | {"mixture": scores([1.0] * 4, [0.4])}
    assert outcome(compared(mixed, {"late": LOSS}), "always mixture").score == 0.4
    assert outcome(compared(LUCKY, {"late": LOSS}), "always mixture").score == 0.5


def test_the_oracle_sees_the_test_and_keeps_all() -> None:
    found = outcome(compared(LUCKY, {"late": LOSS}), ORACLE)
    assert (found.score, found.kept) == (0.5, 1.0)


def test_harm_is_more_than_two_percent_worse_than_alone() -> None:
    candidates = {
        "federated": scores([], [1.019]) | scores([], [1.021], "bravo"),
        "alone": scores([], [1.0]) | scores([], [1.0], "bravo"),
    }
    found = outcome(compared(candidates, {"late": LOSS}), INCUMBENT)
    assert (found.harm, found.pairs) == (0.5, 2)


def test_a_root_is_taken_per_merchant_before_the_mean() -> None:
    candidates = {
        "federated": scores([], [1.0, 1.0]) | scores([], [9.0], "bravo"),
        "alone": scores([], [4.0]) | scores([], [16.0], "bravo"),
    }
    found = outcome(compared(candidates, {"late": ROOT}), INCUMBENT)
    assert found.score == 2.0  # of 1 and 3
    assert found.gain_percent == pytest.approx(100 / 3)  # alone 2 and 4


def test_an_item_choice_has_its_floor_as_incumbent_and_higher_is_better() -> None:
    candidates = {
        "federated": scores([1.0] * 9, [0.0, 1.0], task="item"),
        "floor": scores([0.0] * 9, [1.0, 1.0], task="item"),
    }
    found = compared(candidates, {"item": HITS})
    assert outcome(found, HARMLESS, "item").score == 1.0  # nine rows are too few against a floor
    assert outcome(found, NAIVE, "item").score == 0.5
    assert outcome(found, NAIVE, "item").harm == 1.0


def test_rows_that_had_a_say_do_not_judge() -> None:
    nan = float("nan")
    said = {
        "federated": scores([1.0] * 40, [1.0]),
        "fine_tuned": scores([nan] * 20 + [1.1] * 20, [2.0]),
    }
    assert outcome(compared(said, {"late": LOSS}), NAIVE).score == 1.0


def test_rows_of_one_shopper_count_together() -> None:
    candidates = {
        "federated": scores([1.0, 1.0, 1.0, 1.2] * 10, [1.0]),
        "alone": scores([0.5, 0.6, 1.0, 1.1] * 10, [2.0]),
    }
    key = Key("acme", "late", "validation")
    owners = {key: np.arange(40) % 4 // 2}  # two shoppers
    assert outcome(compared(candidates, {"late": LOSS}), HARMLESS).score == 2.0
    assert outcome(compared(candidates, {"late": LOSS}, owners), HARMLESS).score == 1.0


def test_over_all_tasks_gains_are_means_over_tasks() -> None:
    candidates = {
        "federated": scores([], [0.5]) | scores([], [1.0], task="days"),
        "alone": scores([], [1.0]) | scores([], [1.0], task="days"),
    }
    found = outcome(compared(candidates, {"late": LOSS, "days": LOSS}), INCUMBENT, ALL)
    assert (found.gain_percent, found.score, found.pairs) == (25.0, None, 2)
