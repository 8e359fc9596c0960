import math

import pytest

from simulations.audit.findings import Finding, refuted


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(1.0, "holds"), (2.0, "holds"), (0.9, "refuted"), (2.1, "refuted"), (math.nan, "refuted")],
)
def test_a_value_within_its_bounds_holds(value, verdict):
    assert Finding(name="a.b", value=value, low=1.0, high=2.0, says="").verdict == verdict


def test_only_what_lies_outside_is_refuted():
    good = Finding(name="a.b", value=0.0, high=0.0, says="")
    bad = Finding(name="a.c", value=1.0, high=0.0, says="")
    assert refuted([good, bad]) == (bad,)
