import re
from datetime import UTC, datetime

import pytest

from simulations.audit.page import answer, page
from tests.simulations.audit.reports import report


def drawn(**changes):
    return page(report(**changes), key="ed25519:abc", made=datetime(2026, 1, 1, 12, tzinfo=UTC))


def test_the_page_loads_nothing_and_runs_nothing():
    outside = re.findall(r'(?:src|href)="(?!#)([^"]+)"', drawn())
    assert outside == []
    assert "<script" not in drawn()
    assert "@import" not in drawn()


def test_names_are_escaped():
    assert "<b>town</b>" not in drawn(name="<b>town</b>")


def test_the_same_report_gives_the_same_page():
    assert drawn() == drawn()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "Nothing that was found speaks against the claim."),
        ({"scale": 0.9}, "Merchants of tier any: noise.scale"),
        ({"epsilon": 8.5}, "Merchants of tier any: step"),
        ({"survivor": True}, "not caught: no clip"),
    ],
)
def test_the_verdict_names_what_it_rests_on(changes, says):
    assert says in answer(report(**changes))


def test_an_exact_value_is_shown_to_its_last_digit():
    assert "1.0000001" in drawn()


def test_questions_constants_and_mutants_are_there():
    text = drawn()
    assert all(word in text for word in ("Trust model", "late: clipping norm", "no clip", "ed25519:abc"))
