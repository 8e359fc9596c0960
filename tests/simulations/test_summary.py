import numpy as np
import pytest

from server.reporting.results import Cell, Merchant, Rows, Task
from simulations.summary import summarise

DAYS = Task(
    name="days", kind="regression", metric="rmse", unit="days", higher_is_better=False,
    alone_method="linear", alone_candidates={},
)  # fmt: skip


def merchant(name, group):
    rows = Rows(train=1, validation=1, test=1)
    return Merchant(name=name, tier="small", group=group, orders=10, rows=rows)


def cell(merchant, alone, federated, **others):
    gain = None if alone is None else alone - federated
    return Cell(
        merchant=merchant, task="days", test_rows=5, alone=alone, federated=federated, gain=gain, **others
    )


def summary_of(cells, merchants, tasks=(DAYS,)):
    return {s.group: s for s in summarise(cells, merchants, tasks, np.random.default_rng(0))}


MERCHANTS = [merchant("acme", "small"), merchant("bolt", "small"), merchant("corn", "large")]
CELLS = [cell("acme", 4.0, 3.0), cell("bolt", 2.0, 2.0), cell("corn", 3.0, 3.5)]


def test_every_group_and_all_merchants_have_a_line():
    assert list(summary_of(CELLS, MERCHANTS)) == ["all", "small", "large"]


def test_a_line_holds_the_means_over_its_merchants():
    small = summary_of(CELLS, MERCHANTS)["small"]
    assert (small.merchants, small.alone, small.federated) == (2, 3.0, 2.5)
    assert small.gain == 0.5
    assert small.gain_percent == pytest.approx(100 * 0.5 / 3)


def test_wins_are_gains_above_zero_and_a_large_loss_is_counted():
    line = summary_of(CELLS, MERCHANTS)["all"]
    assert line.wins == 1  # acme; bolt gained nothing
    assert line.worse_than_2_percent == 1  # corn lost 0.5 of 3


def test_a_loss_within_two_percent_is_tolerated():
    assert summary_of([cell("acme", 1.0, 1.015)], MERCHANTS)["small"].worse_than_2_percent == 0


def test_a_merchant_without_a_gain_is_left_out():
    line = summary_of([*CELLS[:2], cell("corn", None, 3.0)], MERCHANTS)
    assert line["all"].merchants == 2
    assert "large" not in line


def test_methods_that_were_not_run_stay_empty():
    cells = [cell("acme", 4.0, 3.0, pooled=2.0), cell("bolt", 2.0, 2.0)]
    line = summary_of(cells, MERCHANTS)["all"]
    assert line.pooled == 2.0  # the one that is there
    assert line.prior is None


def test_one_merchant_alone_has_no_interval():
    line = summary_of(CELLS, MERCHANTS)["large"]
    assert (line.gain, line.low, line.high) == (-0.5, None, None)
