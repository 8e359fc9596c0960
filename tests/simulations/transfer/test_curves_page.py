import re
from io import StringIO

import pytest
from rich.console import Console

from simulations.transfer.curves_page import table, write_page
from tests.simulations.transfer.test_curves import found


@pytest.fixture
def page(tmp_path):
    write_page(found(), tmp_path / "transfer.html")
    return (tmp_path / "transfer.html").read_text()


def test_the_page_says_how_merchants_were_left_out(page):
    assert "2 merchants were left out of the training, in 2 folds" in page


def test_the_answer_stands_in_the_page_and_in_the_terminal(page):
    told = StringIO()
    Console(width=200, file=told).print(table(found()))
    assert "+25.0 %" in page
    assert "+25.0 %" in told.getvalue()
    assert "nan" not in page + told.getvalue()


def test_the_page_says_what_a_federation_moves(page):
    assert "3 rounds, 1,000 bytes down, in each federation" in page


def test_the_page_names_the_ways_that_were_taken(page):
    assert "50: alone: linear; 200: alone: linear; all: alone: linear" in page


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert re.findall(r'(?:src|href)="(?!#)([^"]+)"', page) == []
    assert "<script" not in page
