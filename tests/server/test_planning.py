"""A budget becomes noise, and the noise is compared with what was measured."""

import json
import math
import tomllib
from dataclasses import replace

import pytest
import tomli_w
from typer.testing import CliRunner

from server import cli, planning
from server.planning import Assumed, facts
from shared_model.errors import ConfigError
from shared_model.privacy import gaussian
from tests.server.fakes import make_federation

TIERS = {
    "small": {"shoppers": 20, "weight": 1.0, "role": "receive"},
    "large": {"shoppers": 400, "weight": 1.0},
}


SIXTEEN = Assumed(merchants=16)


def planned(assumed=SIXTEEN, *, privacy=None, rounds=60, tiers=TIERS, **terms):
    federation = make_federation(rounds=rounds, privacy=privacy or {}, tiers=tiers, **terms)
    return planning.planned(federation, assumed, cross_check=False)


def calculated(**changes):
    asked = {"epsilon": 8.0, "delta": 1e-6, "rounds": 60, "local_steps": 1, "batch": 256, "smallest": None}
    return planning.calculation(**{**asked, **changes}, cross_check=False)


def test_a_plan_spends_its_budget_and_no_more():
    [tier] = planned().tiers
    assert 8.0 - 1e-4 < tier.epsilon <= 8.0


def test_all_groups_of_a_step_are_one_mechanism():
    [tier] = planned().tiers
    assert [group.name for group in tier.groups] == ["late", "units"]
    assert tier.noise_multiplier == pytest.approx(math.sqrt(60) / gaussian.mu_at(8.0, 1e-6))
    assert tier.groups[0].noise_multiplier == pytest.approx(math.sqrt(2) * tier.noise_multiplier)


def test_the_noise_on_the_mean_falls_with_the_root_of_the_merchants():
    [few], [many] = planned(Assumed(merchants=4)).tiers, planned(Assumed(merchants=64)).tiers
    assert few.groups[0].noise_on_mean == pytest.approx(few.groups[0].noise_std / 2)
    assert many.groups[0].noise_on_mean == pytest.approx(few.groups[0].noise_on_mean / 4)


def test_a_plan_counts_the_merchants_that_a_round_asks():
    [some], [few] = (
        planned(Assumed(merchants=64), merchants_per_round=4).tiers,
        planned(Assumed(merchants=4)).tiers,
    )
    assert some == few


def test_a_tier_that_only_receives_has_no_plan_and_is_named():
    plan = planned()
    assert ([tier.tier for tier in plan.tiers], plan.receiving) == (["large"], ("small",))


def test_the_index_is_that_of_the_tiers_least_unless_another_is_assumed():
    [least], [assumed] = planned().tiers, planned(Assumed(merchants=16, shoppers=1000)).tiers
    assert (least.shoppers, least.index) == (400, 1600.0)
    assert assumed.index == 4000.0


def test_the_plan_of_the_study_is_comparable_with_itself_and_half_the_noise_counts_double():
    [same] = planned().tiers
    assert same.comparable == pytest.approx(same.index)
    mu = gaussian.mu_at(8.0, 1e-6)
    assert facts._mu([facts.PrivacyEvent(sampling_rate=1.0, noise_multiplier=0.5 / mu)]) == pytest.approx(
        2 * mu
    )


@pytest.mark.parametrize(
    ("index", "said"),
    [(340, "lost to training alone"), (383, "delivery days was won, by small"), (1212, "ahead at 2,986"),
     (2986, "units by federations of large sellers")],
)  # fmt: skip
def test_each_index_is_read_as_it_was_measured(index, said):
    assert said in planning.facts.reading(index)


def test_statistics_and_telemetry_take_their_share():
    [plain], [told] = planned().tiers, planned(privacy={"telemetry": {"share": 0.2, "bound": 2.0}}).tiers
    assert plain.telemetry_std is None
    assert told.noise_multiplier == pytest.approx(plain.noise_multiplier / math.sqrt(0.8))
    assert told.telemetry_std == pytest.approx(plain.noise_multiplier / math.sqrt(0.2) * 2.0 * math.sqrt(2))


def test_the_second_layer_has_its_own_budget():
    layer = planned(privacy={"merchants": {"epsilon": 8.0, "delta": 1e-6, "clipping_norm": 3.0}}).layer
    assert layer.noise_multiplier == pytest.approx(math.sqrt(60) / gaussian.mu_at(8.0, 1e-6))
    assert layer.noise_on_mean == pytest.approx(layer.noise_multiplier / 16)


def test_a_delta_that_lets_a_whole_shopper_through_is_warned_of():
    assert planned().warnings == ()
    [assumed] = planned(Assumed(shoppers=2_000_000)).warnings
    assert "1 / 2,000,000" in assumed


def test_a_contract_without_privacy_has_no_plan():
    with pytest.raises(ConfigError, match=r"a \[privacy\] table"):
        planning.planned(make_federation(), Assumed())


# --- without a contract ---------------------------------------------------------------------------------


def test_with_full_batches_the_noise_is_that_of_the_gaussian_mechanism():
    assert calculated().noise_multiplier == pytest.approx(math.sqrt(60) / gaussian.mu_at(8.0, 1e-6))


def test_the_smallest_merchant_fixes_the_sampling_rate():
    sampled = calculated(smallest=512)
    assert sampled.sampling_rate == 0.5
    assert sampled.noise_multiplier < calculated().noise_multiplier
    assert 8.0 * (1 - 1e-3) < sampled.epsilon <= 8.0


def test_a_merchant_smaller_than_a_batch_takes_part_in_every_step():
    assert calculated(smallest=100).sampling_rate == 1.0


# --- the command ----------------------------------------------------------------------------------------


def command(*arguments):
    return CliRunner().invoke(cli.app, ["plan", *map(str, arguments)])


@pytest.fixture
def contract(tmp_path):
    tables = {
        "federation": {"name": "harbour", "rounds": 60, "full_batch": True},
        "features": {"price": {"kind": "numeric"}},
        "tasks": {"late": {"kind": "binary"}},
        "bottom": {"architecture": "wide"},
        "privacy": {"epsilon": 8.0, "delta": 1e-6},
        "tiers": TIERS,
    }
    path = tmp_path / "federation.toml"
    path.write_text(tomli_w.dumps(tables))
    return path


def test_the_command_says_what_a_contract_costs(contract):
    done = command(contract, "--merchants", 16, "--no-cross-check")
    said = " ".join(done.stdout.split())
    assert done.exit_code == 0
    assert "epsilon of the whole plan at delta 1e-06: 8.0000" in said
    assert "large, assuming M = 16 such merchants of 400 shoppers each in a round" in said
    assert "at most 2,981-fold (e^8)" in said
    assert "Only receiving, at no cost: small." in said


def test_tiers_that_run_one_mechanism_share_one_table(contract):
    tables = tomllib.loads(contract.read_text())
    tables["tiers"]["small"] = {**tables["tiers"]["large"], "shoppers": 20}
    contract.write_text(tomli_w.dumps(tables))
    assert command(contract, "--no-cross-check").stdout.count("clip group") == 1


def test_a_contract_without_privacy_says_so_instead_of_a_plan(contract):
    tables = tomllib.loads(contract.read_text())
    del tables["privacy"]
    contract.write_text(tomli_w.dumps(tables))
    done = command(contract)
    assert done.exit_code == 1
    assert "WITHOUT differential privacy" in str(done.exception)


@pytest.mark.parametrize("wrong", [("--epsilon", -3), ("--epsilon", 8, "--delta", 2)])
def test_a_budget_that_is_none_is_refused(wrong):
    assert command(*wrong).exit_code == 2


def test_the_command_gives_the_same_as_json(contract):
    told = json.loads(command(contract, "--merchants", 16, "--no-cross-check", "--json").stdout)
    [tier] = told["tiers"]
    assert (tier["tier"], tier["sampling_rate"], tier["index"]) == ("large", 1.0, 1600.0)
    assert tier["groups"][0]["noise_std"] == pytest.approx(tier["noise_multiplier"])


def test_the_command_calculates_without_a_contract():
    told = json.loads(command("--epsilon", 8, "--rounds", 60, "--no-cross-check", "--json").stdout)
    assert told["noise_multiplier"] == pytest.approx(calculated().noise_multiplier)
    assert "noise multiplier" in command("--epsilon", 8, "--no-cross-check").stdout


def test_the_command_asks_for_a_contract_or_a_budget():
    assert command().exit_code == 2


def test_other_accountants_are_asked_unless_told_not_to():
    found = planning.calculation(
        epsilon=8.0, delta=1e-6, rounds=10, local_steps=1, batch=256, smallest=None, cross_check=True
    )
    assert set(found.cross_checks) == {"renyi", "opacus-rdp", "opacus-prv"}
    assert replace(found, cross_checks={}).epsilon == pytest.approx(
        found.cross_checks["opacus-prv"], abs=0.02
    )
