import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from server.app import roster_of, settings_of
from server.config import RunConfig, RunSettings, parse_run_config
from server.enrolment import load_members
from server.roster import Member
from shared_model.errors import ConfigError
from tests.server.fakes import make_federation, make_grid, moves, run

LEAST = {"contract": "/srv/federation.toml", "run-directory": "/srv/run"}


def members_file(tmp_path, text):
    path = tmp_path / "members.toml"
    path.write_text(text)
    return path


def test_the_least_a_run_config_says():
    assert parse_run_config(LEAST) == RunConfig(contract="/srv/federation.toml", run_directory="/srv/run")


def test_flower_knows_every_key_and_its_default():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    config = project["tool"]["flwr"]["app"]["config"]
    assert parse_run_config({**config, **LEAST}) == parse_run_config(LEAST)
    assert set(config) == {field.name.replace("_", "-") for field in fields(RunConfig)}


def test_every_key_can_be_given():
    more = {"members": "m.toml", "lineage": "spring", "seed": 3, "keep-checkpoints": 5, "durable": False}
    told = parse_run_config({**LEAST, **more, "wait-members": 7, "wait-seconds": 60})
    assert (told.lineage, told.keep_checkpoints, told.wait_members, told.wait_seconds) == (
        "spring",
        5,
        7,
        60.0,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run-dir": "x"}, "run_dir"),
        ({"seed": "three"}, "seed"),
        ({"keep-checkpoints": 0}, "keep_checkpoints"),
        ({"contract": ""}, "contract"),
    ],
)
def test_a_bad_key_or_value_is_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse_run_config({**LEAST, **changes})


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="run_directory is missing"):
        parse_run_config({"contract": "x"})


@pytest.mark.parametrize("changes", [{"lineage": ""}, {"keep_checkpoints": 0}])
def test_settings_refuse_what_makes_no_sense(changes):
    with pytest.raises(ConfigError):
        RunSettings(**{"directory": Path("x"), "lineage": "a", "seed": 0, **changes})


def test_a_new_run_gets_a_lineage_of_its_own(tmp_path):
    told = parse_run_config({**LEAST, "run-directory": str(tmp_path)})
    assert settings_of(told).lineage != settings_of(told).lineage


def test_a_run_that_goes_on_keeps_its_lineage(tmp_path):
    run(tmp_path, {"alba": moves(1.0)}, make_federation(), lineage="spring")
    assert settings_of(parse_run_config({**LEAST, "run-directory": str(tmp_path)})).lineage == "spring"


def test_members_are_read_from_their_file(tmp_path):
    path = members_file(tmp_path, '[members.acme-garden]\ntier = "any"\ntasks = ["late"]\nrole = "receive"\n')
    member = Member(name="acme-garden", tier="any", tasks=frozenset({"late"}), role="receive")
    assert load_members(path, make_federation()) == (member,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[members.a]\ntier = "huge"\ntasks = []\n', r"members\.a\.tier is 'huge'; allowed: any"),
        (
            '[members.a]\ntier = "any"\ntasks = ["lote"]\n',
            r"members\.a\.tasks is 'lote'; allowed: late, units",
        ),
        ('[members.a]\ntier = "any"\ntasks = []\nrole = "boss"\n', r"members\.a\.role"),
        ("[members]\n", "members"),
    ],
)
def test_a_wrong_members_file_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_members(members_file(tmp_path, text), make_federation())


def test_a_run_with_a_members_file_knows_them_by_name(tmp_path):
    path = members_file(tmp_path, '[members.alba]\ntier = "any"\ntasks = ["late"]\n')
    grid = make_grid({"alba": moves(1.0), "bruno": moves(1.0)})
    roster = roster_of(parse_run_config({**LEAST, "members": str(path)}), make_federation())
    assert [member.name for member in roster(grid).values()] == ["alba"]
