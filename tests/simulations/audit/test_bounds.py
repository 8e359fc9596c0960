from dataclasses import replace

import pytest

from simulations.audit.bounds import bounds, runs, step, threshold, watched
from simulations.audit.mutants import MUTANTS
from tests.simulations.audit.subjects import full_batches


@pytest.fixture(scope="module")
def honest():
    subject = full_batches()
    return watched(subject), subject.plan


def test_no_bound_exceeds_an_honest_claim():
    assert [bound.name for bound in bounds(full_batches()) if bound.refuted] == []


def test_the_step_audit_comes_close_to_the_claim(honest):
    bound = step(*honest)
    assert bound.claimed == pytest.approx(8.0, abs=1e-6)
    assert 0.95 < bound.share < 1


def test_a_threshold_on_one_step_proves_half_of_its_claim_without_asking_for_gaussian_noise(honest):
    bound = threshold(*honest)
    assert bound.claimed == pytest.approx(1.437, abs=1e-3)  # mu = 1 / 2.684 at delta 1e-5
    assert 0.4 < bound.share < 1


def test_less_confidence_proves_more(honest):
    assert step(*honest, confidence=0.9).epsilon > step(*honest, confidence=0.999).epsilon


def test_the_whole_profile_proves_more_of_a_run_than_one_point_of_it(honest):
    plain, profile = runs(*honest)
    assert 0 < plain.epsilon < profile.epsilon < profile.claimed


def test_without_clipping_every_bound_on_steps_is_exceeded():
    subject = full_batches()
    broken = replace(subject, mechanism=MUTANTS["no clip"]())
    seen = watched(broken)
    assert step(seen, subject.plan).refuted
    assert threshold(seen, subject.plan).refuted


def test_a_bound_says_which_releases_it_is_not_about():
    privacy = {"epsilon": 8.0, "delta": 1e-5, "statistics": 0.1}
    features = {"price": {"kind": "numeric"}, "trailing_delivery_days": {"kind": "numeric"}}
    subject = full_batches(privacy=privacy, features=features)
    bound = step(watched(subject), subject.plan)
    assert bound.claimed < 8.0
    assert bound.says.startswith("The steps alone, without statistics.")
