import json
import math

import pytest

from shared_model.privacy.events import PrivacyEvent
from simulations.audit.report import curve, environment
from tests.simulations.audit.reports import report


def test_nothing_against_the_claim_lets_it_stand():
    assert report().verdict == "holds"


@pytest.mark.parametrize("changes", [{"scale": 0.9}, {"epsilon": 8.1}, {"survivor": True}])
def test_a_statistic_a_bound_or_a_mutant_that_lives_refutes_it(changes):
    assert report(**changes).verdict == "refuted"


def test_every_verdict_is_written_out():
    written = report(scale=0.9).to_mapping()
    assert written["verdict"] == written["sections"][0]["verdict"] == "refuted"
    assert [f["verdict"] for f in written["sections"][0]["findings"]] == ["refuted", "holds"]


def test_a_value_that_json_does_not_know_is_a_word():
    written = report(scale=math.inf).to_mapping()
    assert json.loads(json.dumps(written, allow_nan=False))["sections"][0]["findings"][0]["value"] == "inf"


def test_a_curve_falls_and_passes_through_the_exact_value():
    # One Gaussian release with mu = 1 is (4.3772, 1e-5)-DP.
    found = curve([PrivacyEvent(sampling_rate=1.0, noise_multiplier=1.0)])
    near = min(range(len(found.delta)), key=lambda i: abs(math.log(found.delta[i] / 1e-5)))
    assert found.epsilon[near] == pytest.approx(4.377, abs=0.05)
    assert list(found.delta) == sorted(found.delta, reverse=True)


def test_nothing_released_has_no_curve():
    assert curve([]) is None


def test_the_audited_code_is_named_with_its_digest():
    found = environment()
    assert len(found["client/private/training.py"]) == 64
    assert found["torch"]
