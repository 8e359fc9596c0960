"""A target is met by a figure on the right side of its bound, and never by one that is not there."""

import numpy as np
import pytest

from server.reporting.results import Cell, Merchant, Rows, Task
from simulations.experiment import Target
from simulations.summary import summarise
from simulations.targets import Measured, checked

LATE = Task(
    name="late", kind="binary", metric="log loss", unit="", higher_is_better=False,
    alone_method="linear", alone_candidates={},
)  # fmt: skip


def cell(merchant: str, *, alone: float, federated: float, prior: float) -> Cell:
    gain = alone - federated
    return Cell(
        merchant=merchant, task="late", test_rows=9, alone=alone, federated=federated, prior=prior, gain=gain
    )


def shop(name: str, group: str) -> Merchant:
    return Merchant(name=name, tier="any", group=group, orders=9, rows=Rows(train=9, validation=9, test=9))


def measured(cells: list[Cell], newcomers: list[Cell] | None = None) -> Measured:
    merchants = [shop("acme", "small"), shop("bolt", "large")]
    return Measured(
        cells=cells,
        summary=summarise(cells, merchants, [LATE], np.random.default_rng(0)),
        group_of={m.name: m.group for m in merchants},
        newcomers=newcomers or [],
    )


CELLS = [
    cell("acme", alone=0.5, federated=0.4, prior=0.44),  # gains 0.1
    cell("bolt", alone=0.3, federated=0.31, prior=0.31),  # loses more than 2 % of 0.3
]


@pytest.mark.parametrize(
    ("figure", "group", "value"),
    [
        ("gain_percent", "all", 11.25),  # mean gain 0.045 of a mean 0.4
        ("gain_percent", "small", 20.0),
        ("worse_percent", "all", 50.0),
        ("worse_percent", "small", 0.0),
        ("prior_gap_percent", "small", 10.0),
        ("prior_gap_percent", "large", 0.0),
    ],
)
def test_figures_by_hand(figure: str, group: str, value: float) -> None:
    target = Target(id="t", figure=figure, task="late", group=group, at_least=0.0, text="")  # type: ignore[arg-type]
    (check,) = checked([target], measured(CELLS))
    assert check.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("bound", "met"),
    [
        ({"at_least": 25.0}, True), ({"at_least": 25.1}, False),
        ({"at_most": 25.0}, True), ({"at_most": 24.9}, False),
    ],
)  # fmt: skip
def test_a_bound_is_met_where_it_is_reached(bound: dict[str, float], met: bool) -> None:
    cells = [cell("acme", alone=4.0, federated=3.0, prior=3.0)]
    target = Target(id="t", figure="gain_percent", task="late", text="", **bound)
    (check,) = checked([target], measured(cells))
    assert (check.met, check.target) == (met, next(iter(bound.values())))


def test_a_figure_that_is_not_there_meets_nothing() -> None:
    target = Target(id="t", figure="newcomer_gap_percent", task="late", at_most=5.0, text="")
    (check,) = checked([target], measured(CELLS))
    assert (check.value, check.met) == (None, False)


def test_a_perfect_metric_of_one_newcomer_counts_and_of_all_cannot_be_divided_by() -> None:
    target = Target(id="t", figure="newcomer_gap_percent", task="late", at_most=50.0, text="")
    perfect = cell("acme", alone=0.5, federated=0.0, prior=0.1)
    other = cell("bolt", alone=0.5, federated=0.4, prior=0.4)
    (some,), (all_of_them,) = (
        checked([target], measured(CELLS, newcomers)) for newcomers in ([perfect, other], [perfect])
    )
    assert some.value == pytest.approx(25.0)  # priors 0.25 on average, served 0.2
    assert all_of_them.value is None
