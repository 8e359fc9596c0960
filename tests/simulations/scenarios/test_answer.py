"""`fedbazaar-sim truth` says the right answer of a scenario."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shared_model.errors import ConfigError
from simulations.cli import app
from simulations.experiment import EXPERIMENTS
from simulations.scenarios.answer import answers_of


def test_related_merchants_are_told_to_federate(tmp_path: Path) -> None:
    arguments = ["truth", str(EXPERIMENTS / "related.toml"), "--json", str(tmp_path / "truth.json")]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0
    assert "federate" in outcome.stdout
    answers = json.loads((tmp_path / "truth.json").read_text())
    assert len(answers) == 16
    assert answers["synthetic-shop-01"]["late"]["helps"]


def test_unrelated_merchants_are_not() -> None:
    found = answers_of(EXPERIMENTS / "unrelated.toml")
    assert not any(answer.helps for answers in found.values() for answer in answers.values())


def test_a_market_of_another_kind_has_no_answer() -> None:
    with pytest.raises(ConfigError, match=r"market.kind is 'synthetic'; allowed: scenario"):
        answers_of(EXPERIMENTS / "demo.toml")
