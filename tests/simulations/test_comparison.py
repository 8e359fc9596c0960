"""Alone against federated, row by row: on scores small enough to compare by hand."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from shared_model.schema import parse_federation
from simulations.comparison import Methods, cells_of, tasks_of
from simulations.scores import Key, Scores, averaged, pooled_score

CONTRACT = parse_federation(
    {
        "federation": {"name": "tiny", "rounds": 1},
        "features": {"x": {"kind": "numeric"}},
        "tasks": {"days": {"kind": "regression"}, "late": {"kind": "binary"}, "item": {"kind": "retrieval"}},
        "bottom": {"architecture": "wide"},
    }
)
ROWS = 4


def scores(task: str, split: str, values: list[float], merchant: str = "acme") -> Scores:
    return {Key(merchant, task, split): np.array(values)}  # type: ignore[arg-type]


def compared(**methods: Any) -> Methods:
    nothing: dict[str, Any] = {"prior": {}, "pooled": {}, "constant": {}}
    return Methods(**{**nothing, **methods})


def dataset() -> Any:
    return SimpleNamespace(
        unit=np.arange(ROWS), rows=lambda split, *, kind=None, task=None: torch.arange(ROWS)
    )


def cell(task: str, methods: Methods) -> Any:
    (found,) = cells_of(CONTRACT, {"acme": dataset()}, tasks_of(CONTRACT, methods), methods, seed=0)
    assert found.task == task
    return found


def test_alone_is_the_candidate_that_is_best_on_validation_whatever_the_test_says() -> None:
    good = scores("late", "validation", [0.1] * ROWS) | scores("late", "test", [0.9] * ROWS)
    bad = scores("late", "validation", [0.2] * ROWS) | scores("late", "test", [0.3] * ROWS)
    methods = compared(alone={"good": good, "bad": bad}, federated=scores("late", "test", [0.5] * ROWS))
    (task,) = tasks_of(CONTRACT, methods)
    assert task.alone_method == "good"
    assert task.alone_candidates == pytest.approx({"good": 0.9, "bad": 0.3})
    assert cell("late", methods).gain == pytest.approx(0.4)


def test_every_merchant_counts_once_in_that_choice_however_many_rows_it_has() -> None:
    small, large = "acme", "bruno"
    steady = scores("late", "validation", [0.3], small) | scores("late", "validation", [0.3] * 100, large)
    uneven = scores("late", "validation", [0.9], small) | scores("late", "validation", [0.2] * 100, large)
    tested = scores("late", "test", [0.5] * ROWS)
    methods = compared(alone={"steady": steady | tested, "uneven": uneven | tested}, federated=tested)
    assert [task.alone_method for task in tasks_of(CONTRACT, methods)] == ["steady"]


def test_an_rmse_is_the_root_of_the_mean_and_the_gain_a_difference_of_roots() -> None:
    alone = scores("days", "validation", [1.0] * ROWS) | scores("days", "test", [4.0, 4.0, 16.0, 16.0])
    methods = compared(alone={"linear": alone}, federated=scores("days", "test", [4.0] * ROWS))
    found = cell("days", methods)
    assert (found.alone, found.federated) == pytest.approx((10**0.5, 2.0))
    assert found.gain == pytest.approx(10**0.5 - 2.0)
    assert found.low >= 0


def test_where_higher_is_better_more_hits_are_a_gain() -> None:
    floor = scores("item", "validation", [0.0] * ROWS) | scores("item", "test", [0.0, 0.0, 1.0, 1.0])
    better = scores("item", "validation", [1.0] * ROWS) | scores("item", "test", [0.0] * ROWS)
    methods = compared(
        alone={"floor": floor, "better": better}, federated=scores("item", "test", [1.0] * ROWS)
    )
    (task,) = tasks_of(CONTRACT, methods)
    assert task.alone_method == "better"
    assert cell("item", methods).gain == 1.0


def test_a_merchant_without_a_method_alone_has_no_gain_and_no_verdict() -> None:
    elsewhere = scores("late", "test", [0.1], "bruno") | scores("late", "validation", [0.1], "bruno")
    methods = compared(alone={"linear": elsewhere}, federated=scores("late", "test", [0.5] * ROWS))
    found = cell("late", methods)
    assert found.gain is None
    assert found.verdict == "cannot tell"


def test_a_difference_on_every_row_is_a_clear_gain_and_its_opposite_a_clear_loss() -> None:
    alone = scores("late", "validation", [0.5] * ROWS) | scores("late", "test", [0.5] * ROWS)
    gains = compared(alone={"linear": alone}, federated=scores("late", "test", [0.4, 0.3, 0.2, 0.1]))
    loses = replace(gains, federated=scores("late", "test", [0.6, 0.7, 0.8, 0.9]))
    assert cell("late", gains).verdict == "gains"
    assert cell("late", loses).verdict == "loses"


def test_seeds_are_averaged_row_by_row() -> None:
    first, second = scores("late", "test", [0.0, 1.0]), scores("late", "test", [1.0, 3.0])
    assert averaged([first, second])[Key("acme", "late", "test")].tolist() == [0.5, 2.0]


def test_a_pooled_score_counts_every_row_once() -> None:
    both = scores("late", "test", [1.0]) | scores("late", "test", [4.0, 4.0, 4.0], "bruno")
    assert pooled_score(both, "late", "test") == 13 / 4
