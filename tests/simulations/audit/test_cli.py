import json

import pytest
from typer.testing import CliRunner

from shared_model.schema import load_federation
from simulations.audit import certify
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
    return written(tmp_path)


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """The folder of a contract that was certified, and what the command said."""
    contract = written(tmp_path_factory.mktemp("audited"))
    return contract.parent, certified(contract)


def written(folder):
    (folder / "federation.toml").write_text(CONTRACT)
    return folder / "federation.toml"


def called(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def certified(contract, *more):
    return called("certify", contract, "--tier", "small", "--no-mutants", "--out", contract.parent, *more)


def test_an_honest_contract_is_certified_and_signed(audited):
    folder, result = audited
    assert result.exit_code == 0
    assert (folder / "certify.html").exists()
    assert called("verify", folder / "certify.json").exit_code == 0


def test_the_same_seed_gives_the_same_report(audited, contract):
    certified(contract)
    first, second = (
        json.loads((folder / "certify.json").read_text())["report"]
        for folder in (audited[0], contract.parent)
    )
    assert first == second


def test_a_broken_mechanism_is_refuted_and_the_command_fails(contract, monkeypatch):
    broken = MUTANTS["noise x 0.95"]()
    monkeypatch.setattr("simulations.audit.subject.HONEST", broken)
    result = certified(contract)
    assert result.exit_code == 1
    assert "noise.scale" in result.output


def test_tiers_that_differ_in_nothing_but_their_name_are_certified_once(contract, monkeypatch):
    seen = []
    monkeypatch.setattr(certify, "section", lambda subject, progress: seen.append(subject.plan.tier))
    monkeypatch.setattr(certify, "about_mechanism", lambda federation, sections: ())
    certify.certify(
        load_federation(contract), ["small", "large"], seed=0, command="", with_mutants=False, progress=print
    )
    assert seen == ["small, large"]


def test_tiers_that_release_nothing_are_left_out(contract):
    contract.write_text(
        CONTRACT.replace("shoppers = 50, weight = 1.0", 'shoppers = 50, weight = 1.0, role = "receive"')
    )
    assert certify.releasing(load_federation(contract)) == ["large"]


def test_a_contract_without_privacy_has_nothing_to_certify(contract):
    contract.write_text(CONTRACT.replace("[privacy]\nepsilon = 8.0\ndelta = 1e-5\n", ""))
    result = certified(contract)
    assert "a [privacy] table" in str(result.exception)
