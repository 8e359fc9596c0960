"""Studies that are made again give the same bits: one merchant's question, and who teaches whom."""

from pathlib import Path
from typing import Any

import pytest

from simulations.runs import recording, rerun
from simulations.runs.asked import Asked

from . import experiments

QUESTIONS: dict[str, dict[str, Any]] = {
    "join": {"merchant": "synthetic-02", "epsilons": [1.0], "contributions": 1, "seeds": None},
    "matrix": {"by": "merchant", "seeds": 1},
}


def silent(stage: str, done: int, total: int) -> None:
    pass


@pytest.mark.slow
@pytest.mark.parametrize("study", QUESTIONS)
def test_a_study_made_again_is_the_same_bit_for_bit(study: str, tmp_path: Path) -> None:
    file = experiments.write(tmp_path, experiments.private_contract(rounds=2))
    asked = Asked(study=study, file=file, out=tmp_path / "run", arguments={"data": None, **QUESTIONS[study]})
    recording.perform(asked, silent)
    outcome = rerun.rerun(asked.out, silent)
    assert outcome.differences == outcome.tampered == ()
    assert outcome.compared > 2
    assert outcome.identical
