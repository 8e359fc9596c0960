from io import StringIO
from pathlib import Path

from rich.console import Console

from client.spending import Spending
from client.spending_show import show


def shown(*found):
    told = StringIO()
    show(found, Console(width=400, file=told))
    return told.getvalue()


def spending(**changes):
    asked = {
        "file": Path("ledger.jsonl"), "simulated": False, "unit": "shopper", "delta": 1e-5, "promised": 1.0,
        "cap": None, "trainings": (), "spent": 0.0, "checked": {}, "total": 0.0, "no_total": "",
        "rounds_left": 60,
    }  # fmt: skip
    return Spending(**{**asked, **changes})


def test_without_a_ledger_nothing_is_claimed_about_the_past():
    assert "its ledger was moved or deleted" in shown()


def test_a_ledger_without_charges_is_said_to_be_empty():
    assert "The ledger is empty" in shown(spending())


def test_epsilon_and_delta_are_explained():
    assert "at most 2.7-fold" in shown(spending())  # e = 2.718


def test_another_accountant_that_says_more_is_explained():
    assert "upper bounds on the same cost" in shown(spending(checked={"opacus-rdp": 1.1}))


def test_one_round_is_one_round():
    assert "1 more round fits." in shown(spending(rounds_left=1))


def test_where_there_is_no_total_the_reason_is_told():
    assert "Spent in all: two units." in shown(spending(total=None, no_total="two units"))
