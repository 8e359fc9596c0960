"""The page and the terminal of one merchant's question, from numbers made by hand."""

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from server.reporting.results import Cell, Merchant, Rows
from simulations.join import plots
from simulations.join.page import ordered, terminal, write_page
from simulations.join.report import Joined, TakingPart
from simulations.join.verdicts import sentences
from tests.simulations.join.test_verdicts import (
    FEW,
    HELPS,
    UNKNOWN,
    contribution,
    cost,
    line,
    point,
    task,
)

LEVELS = ("epsilon 8", "epsilon 1", "no privacy")
NAME = "<b>acme</b>"


def merchant(name: str) -> Merchant:
    return Merchant(
        name=name, tier="small", group="small", orders=90, rows=Rows(train=90, validation=9, test=40)
    )


def found() -> Joined:
    lines = tuple(
        replace(line(level, gain), task="bad_review", pooled=0.39, pooled_gain=HELPS)
        for level, gain in zip(LEVELS, (HELPS, UNKNOWN, FEW), strict=True)
    )
    epsilons = (8.0, 1.0, None)
    return Joined(
        name="town", merchant=NAME, command="x", environment={"python": "3.11"}, agreed="epsilon 8",
        private=True, confidence=0.95, seeds=(0, 1), answer=f"Yes: joining helps {NAME}.",
        sentences=("Joining helps bad review.",), tasks=(task(),), merchants=(merchant(NAME), merchant("b")),
        lines=lines, curve=(point(0.25, 0.6, 0.4), point(1.0, 0.5, 0.39)),
        taking_part=(TakingPart(task="bad_review", receiving=0.41, joined=0.4, gain=UNKNOWN),),
        costs=tuple(cost(level=n, epsilon=e, delta=e and 1e-5) for n, e in zip(LEVELS, epsilons,
strict=True)),
        cells=(Cell(merchant=NAME, task="bad_review", test_rows=40, alone=0.5, federated=0.4, gain=0.1),),
        contributions=(contribution(HELPS), replace(contribution(UNKNOWN), merchant=NAME)),
        left_out=2, trainers=2,
        like=(),
        federation=("1 of 2 merchants gain clearly.",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "join.html"
    write_page(found(), path)
    return path.read_text()


def test_the_page_says_of_the_federation_who_gains(page: str) -> None:
    assert "<li>1 of 2 merchants gain clearly.</li>" in page


@pytest.fixture
def told() -> str:
    written = StringIO()
    Console(width=200, file=written).print(*terminal(found()))
    return written.getvalue()


def test_the_strictest_level_comes_first_and_no_privacy_last() -> None:
    assert ordered(found()) == ["epsilon 1", "epsilon 8", "no privacy"]


def test_the_answer_stands_first_in_both_forms(page: str, told: str) -> None:
    assert 'class="answer">Yes: joining helps' in page
    assert told.startswith("Yes: joining helps")


def test_the_price_is_told_in_both_forms(page: str, told: str) -> None:
    assert "It costs 242 kB of traffic over 60 rounds" in page
    assert "It costs 242 kB of traffic over 60 rounds" in told


def test_the_page_says_what_its_own_epsilon_means(page: str) -> None:
    assert "2,981-fold (e^8)" in page


def test_the_page_says_how_several_tasks_were_handled(page: str) -> None:
    assert "Bonferroni" in page
    assert "Benjamini and Hochberg" in page


def test_what_is_not_known_is_a_dash(page: str, told: str) -> None:
    assert "nan" not in page + told
    assert "None" not in page + told


def test_names_are_escaped(page: str) -> None:
    assert NAME not in page


def test_the_page_loads_nothing_and_runs_nothing(page: str) -> None:
    assert re.findall(r'(?:src|href)="(?!#)([^"]+)"', page) == []
    assert "<script" not in page


def test_a_gain_without_bounds_is_a_dot_alone() -> None:
    axes = plots.gains(found(), ["no privacy"]).axes[0]
    lengths = [len(drawn.get_xdata()) for drawn in axes.lines]
    assert lengths.count(1) == 2  # no privacy, and pooling
    assert lengths.count(2) == 2  # bounds of pooling, and the axis


def test_the_curve_ends_in_a_diamond_for_taking_part() -> None:
    axes = plots.curves(found()).axes[0]
    assert [drawn.get_label() for drawn in axes.lines] == [
        "alone", "only receiving", "taking part, with all orders",
    ]  # fmt: skip


def test_a_merchant_that_only_receives_has_no_figures_of_taking_part(tmp_path: Path) -> None:
    receives = replace(found(), taking_part=(), left_out=0, contributions=())
    write_page(receives, tmp_path / "join.html")
    told = (tmp_path / "join.html").read_text()
    assert "Taking part, or only receiving" not in told
    assert "No merchant was left out of the training in turn." in told


def test_a_merchant_that_only_receives_is_told_that_it_adds_nothing() -> None:
    receives = replace(found(), taking_part=(), left_out=0, contributions=())
    assert sentences(receives)[-1] == (
        "By its size it only receives under this contract, so it adds nothing for the others."
    )
