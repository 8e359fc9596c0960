from dataclasses import replace

import pytest

from simulations.audit.certify import against, hunted
from simulations.audit.mutants import MUTANTS, accounting, clipping, noise, sampling
from simulations.audit.reference import reference
from simulations.benchmarks.audit import false_alarms


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
def test_a_broken_mechanism_is_caught(mutant):
    assert next(against(replace(reference(), mechanism=mutant())), None)


def test_the_honest_mechanism_is_not():
    assert list(against(reference())) == []


def test_there_are_at_least_the_fourteen_that_were_asked_for():
    assert len(MUTANTS) >= 14


def test_no_two_mutants_have_one_name():
    parts = (noise, clipping, sampling, accounting)
    assert len(MUTANTS) == sum(len(part.MUTANTS) for part in parts)


@pytest.mark.slow
def test_every_check_goes_through_every_mutant_and_all_are_caught():
    assert [name for name, caught in hunted(1, lambda what: None).items() if not caught] == []


@pytest.mark.slow
def test_honest_runs_are_rarely_refuted():
    # All errors together are at most 3 %: of 40 runs 6 or more with a probability below 2e-3.
    assert false_alarms(40) < 6 / 40
