import re
from io import StringIO

import pytest
from rich.console import Console

from simulations.frontier import Frontier, Point
from simulations.frontier_page import ordered, table, write_page


def point(level, epsilon, *, group="all", merchants=12, task="late", bounds=(1.0, 3.0)):
    return Point(
        level=level, epsilon=epsilon, task=task, group=group, metric="log loss", merchants=merchants,
        alone=0.5, federated=0.49, prior=None, gain_percent=2.0,
        low_percent=bounds[0], high_percent=bounds[1],
    )  # fmt: skip


@pytest.fixture
def found():
    points = (
        point("epsilon 8", 8.0),
        point("epsilon 8", 8.0, group="<b>large</b>", merchants=1, bounds=(None, None)),
        point("epsilon 2", 2.0),
        point("no privacy", None),
    )
    sent = {"epsilon 2": "3 rounds, 1,000 bytes down"}
    return Frontier(name="town", command="", seeds=(0,), environment={}, delta=1e-5, sent=sent, points=points)


@pytest.fixture
def page(found, tmp_path):
    write_page(found, tmp_path / "frontier.html")
    return (tmp_path / "frontier.html").read_text()


def test_the_strictest_level_comes_first_and_no_privacy_last(found):
    whole = [p.level for p in ordered(found.points) if p.group == "all"]
    assert whole == ["epsilon 2", "epsilon 8", "no privacy"]


def test_the_page_says_what_its_strictest_epsilon_means(page):
    assert "at most 7.4-fold (e^2)" in page  # e^2 = 7.39


def test_a_single_merchant_has_no_interval(page, found):
    told = StringIO()
    Console(width=200, file=told).print(table(found))
    assert "nan" not in page + told.getvalue()


def test_the_page_says_what_moved_at_every_level(page):
    assert "<dt>epsilon 2</dt><dd>3 rounds, 1,000 bytes down</dd>" in page


def test_names_are_escaped(page):
    assert "<b>large</b>" not in page


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert re.findall(r'(?:src|href)="(?!#)([^"]+)"', page) == []
    assert "<script" not in page
