"""The coordinator's commands, as they are typed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server import cli
from server.deployment import members, registration, superlink
from server.deployment.market import load
from shared_model.errors import StateError
from tests.server.deployment.markets import node_key, refuse, written_contract


def typed(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    typed("init", tmp_path / "market", "--contract", written_contract(tmp_path))
    return tmp_path / "market"


def test_init_says_what_to_send_and_what_to_do(tmp_path: Path) -> None:
    said = typed("init", tmp_path / "market", "--contract", written_contract(tmp_path))
    assert load(tmp_path / "market").settings.address == "localhost:8443"
    assert str(tmp_path / "market" / "invitation") in said
    assert "ed25519:" in said


def test_enroll_leaves_registering_to_up_where_the_superlink_is_away(folder: Path, tmp_path: Path) -> None:
    said = typed("enroll", folder, node_key(tmp_path), "--name", "acme", "--tasks", "late, next_item")
    assert "`up` will register its node" in said
    assert members.enrolled(load(folder))["acme"].tasks == ("late", "next_item")


def test_enroll_registers_at_once_where_the_superlink_is_up(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[str] = []
    monkeypatch.setattr(superlink, "is_up", lambda _: True)
    monkeypatch.setattr(registration, "register", lambda _, name: registered.append(name))
    assert "may connect now" in typed("enroll", folder, node_key(tmp_path), "--name", "acme")
    assert registered == ["acme"]


def test_a_registration_that_failed_is_left_to_the_next_start(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superlink, "is_up", lambda _: True)
    monkeypatch.setattr(registration, "register", refuse(StateError("no answer")))
    said = typed("enroll", folder, node_key(tmp_path), "--name", "acme")
    assert "no answer The next `up` tries again" in said
    assert "acme" in members.enrolled(load(folder))


def test_withdraw_strikes_off(folder: Path, tmp_path: Path) -> None:
    typed("enroll", folder, node_key(tmp_path), "--name", "acme")
    assert "acme is no member any more" in typed("withdraw", folder, "acme")
    assert members.enrolled(load(folder)) == {}


def test_renew_says_until_when(folder: Path) -> None:
    assert "is valid until 20" in typed("renew", folder)


def test_status_speaks_json(folder: Path) -> None:
    assert json.loads(typed("status", folder, "--json"))["coordinator"] == "down"
