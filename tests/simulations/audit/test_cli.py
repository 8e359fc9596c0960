import json

import pytest
from typer.testing import CliRunner

from simulations.audit.cli import app
from simulations.audit.mutants import MUTANTS

CONTRACT = """
[federation]
name = "town"
rounds = 20
expected_batch = 64
full_batch = true
[features.price]
kind = "numeric"
[tasks.late]
kind = "binary"
[bottom]
architecture = "wide"
[privacy]
epsilon = 8.0
delta = 1e-5
[tiers]
small = { shoppers = 50, weight = 1.0 }
large = { shoppers = 500, weight = 1.0 }
"""


@pytest.fixture
def contract(tmp_path):
    path = tmp_path / "federation.toml"
    path.write_text(CONTRACT)
    return path


def called(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def certified(contract, *more):
    return called("certify", contract, "--tier", "small", "--no-mutants", "--out", contract.parent, *more)


def test_an_honest_contract_is_certified_and_signed(contract):
    assert certified(contract).exit_code == 0
    assert (contract.parent / "certify.html").exists()
    assert called("verify", contract.parent / "certify.json").exit_code == 0


def test_the_same_seed_gives_the_same_report(contract):
    reports = []
    for _ in range(2):
        certified(contract, "--seed", "7")
        reports.append(json.loads((contract.parent / "certify.json").read_text())["report"])
    assert reports[0] == reports[1]


def test_a_broken_mechanism_is_refuted_and_the_command_fails(contract, monkeypatch):
    broken = MUTANTS["noise x 0.95"]()
    monkeypatch.setattr("simulations.audit.subject.HONEST", broken)
    result = certified(contract)
    assert result.exit_code == 1
    assert "noise.scale" in result.output


def test_a_contract_without_privacy_has_nothing_to_certify(contract):
    contract.write_text(CONTRACT.replace("[privacy]\nepsilon = 8.0\ndelta = 1e-5\n", ""))
    result = certified(contract)
    assert "a [privacy] table" in str(result.exception)
