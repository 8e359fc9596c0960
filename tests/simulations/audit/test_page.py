import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from simulations.audit.page import answer, different, page
from tests.simulations.audit.reports import report


def drawn(**changes):
    given = {name: changes.pop(name) for name in ("kind", "questions") if name in changes}
    return page(
        replace(report(**changes), **given), key="ed25519:abc", made=datetime(2026, 1, 1, 12, tzinfo=UTC)
    )


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


def test_what_was_not_refuted_is_not_called_proved():
    text = drawn()
    assert "Not refuted." in text
    assert "The claim holds" not in text


def test_epsilon_and_delta_are_explained():
    assert "the chance that this bound is broken" in drawn()


def test_commands_in_answers_stand_as_code():
    text = drawn(questions=(("Trust model", "See `fedbazaar-audit <run>`."),))
    assert "<code>fedbazaar-audit &lt;run&gt;</code>" in text


def test_ticks_of_delta_are_numbers_that_a_browser_shows():
    assert "mathdefault" not in drawn()


def test_ledgers_that_cost_the_same_share_one_curve():
    [section] = report().sections
    twice = replace(report(), kind="run", sections=(section, replace(section, title="Ledger of alba")))
    assert [s.title for s in different(twice.sections)] == ["Merchants of tier any and 1 more"]


def test_a_run_is_summed_up_before_its_details():
    text = drawn(kind="run")
    assert text.index("epsilon spent") < text.index("<details")


def test_what_refutes_is_explained():
    assert "<code>noise.scale</code>. Noise." in drawn(scale=0.9)
