import pytest

from shared_model.schema import parse_federation
from simulations.audit.questions import about_mechanism
from simulations.audit.report import Curve, Section
from tests.shared_model.privacy.test_plan import tables

NO_CURVE = Curve(epsilon=(), delta=())
MECHANISM = "Mechanism, and whether it is correct"


def told(*, steps=1, **privacy):
    """What the page says of the mechanism of a contract with so many steps in a round."""
    given = tables(**privacy)
    given["federation"]["local_steps"] = steps
    claim = {"sampling_rate": 1.0, "rounds": 4, "steps": steps}
    section = Section(
        title="Merchants of tier any", claim=claim, epsilon=8.0, delta=1e-6, curve=NO_CURVE, findings=()
    )
    return dict(about_mechanism(parse_federation(given), [section]))[MECHANISM]


def test_it_is_said_that_canaries_are_watched_in_single_steps():
    assert "single steps, each released by itself as with K = 1" in told()


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (1, "with 4 steps, not the contract's 1."),
        (8, "with 8 steps."),
        (50, "with 32 steps, not the contract's 50."),
    ],
)
def test_it_is_said_how_long_the_rounds_were_that_were_looked_at(steps, says):
    assert says in told(steps=steps)


def test_it_is_said_that_hooks_make_the_certificate_slow():
    assert "takes much longer" in told(engine="hooks")
    assert "takes much longer" not in told()
