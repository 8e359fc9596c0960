"""Flower's commands are processes with readable errors, and no network."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from server.deployment import flower
from shared_model.errors import ConfigError, StateError


class Pretended:
    """A `flwr` that prints what it is told to, and notes how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "flwr"

    def says(self, output: str, *, code: int = 0, errors: str = "") -> None:
        self.program.write_text(
            f"#!{sys.executable}\n"
            "import json, os, sys\n"
            f"called = {{'arguments': sys.argv[1:], 'environment': dict(os.environ)}}\n"
            f"open({str(self.folder / 'called')!r}, 'w').write(json.dumps(called))\n"
            f"print({output!r})\n"
            f"print({errors!r}, file=sys.stderr)\n"
            f"sys.exit({code})\n"
        )
        self.program.chmod(0o700)

    @property
    def called(self) -> "dict[str, object]":
        found: dict[str, object] = json.loads((self.folder / "called").read_text())
        return found


@pytest.fixture
def flwr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    pretended = Pretended(tmp_path)
    monkeypatch.setattr(flower, "program", lambda _: pretended.program)
    return pretended


def test_a_registration_returns_the_node_id(flwr: Pretended, tmp_path: Path) -> None:
    flwr.says('{"success": true, "node-id": 17}')
    assert flower.register(tmp_path, Path("acme.pub"), "acme") == 17
    assert flwr.called["arguments"] == [
        "supernode", "register", "acme.pub", "market", "--name", "acme", "--format", "json",
    ]  # fmt: skip


def test_what_stands_before_the_json_does_not_matter(flwr: Pretended, tmp_path: Path) -> None:
    flwr.says('Note: a new version\n{"success": true, "run-id": "5"}\n')
    assert flower.start_run(tmp_path, Path("app"), Path("run.toml")) == 5


def test_nodes_have_ids_and_statuses(flwr: Pretended, tmp_path: Path) -> None:
    flwr.says('{"success": true, "nodes": [{"node-id": "17", "status": "online"}]}')
    assert flower.nodes(tmp_path) == [flower.Node(17, "online")]


@pytest.mark.parametrize(
    ("status", "over"), [("running", False), ("pending", False), ("finished:failed", True)]
)
def test_a_run_is_over_when_flower_says_finished(
    flwr: Pretended, tmp_path: Path, status: str, over: bool
) -> None:
    run = {"run-id": "5", "status": status, "status-details": "why"}
    flwr.says(json.dumps({"success": True, "runs": [run]}))
    (found,) = flower.runs(tmp_path, identity=5)
    assert (found.is_over, found.details) == (over, "why")


def test_an_error_in_json_is_told(flwr: Pretended, tmp_path: Path) -> None:
    flwr.says('{"success": false, "error-message": "[code: 12] Run not found"}')
    with pytest.raises(StateError, match=r"`flwr ls market` failed: .code: 12. Run not found"):
        flower.runs(tmp_path, identity=5)


def test_an_error_in_a_box_with_colours_is_told_without_them(flwr: Pretended, tmp_path: Path) -> None:
    flwr.says("", code=1, errors="╭─ Error ─╮\n│ \x1b[31mnobody there\x1b[0m │\n╰─────────╯")
    with pytest.raises(StateError, match=r"Error nobody there$"):
        flower.nodes(tmp_path)


def test_a_key_that_is_known_already_is_told_apart(flwr: Pretended, tmp_path: Path) -> None:
    flwr.says('{"success": false, "error-message": "[code: 7] Public key already in use"}', code=1)
    with pytest.raises(flower.KeyInUse):
        flower.register(tmp_path, Path("acme.pub"), "acme")


def test_a_superlink_that_does_not_answer_is_not_waited_for(
    flwr: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("flwr", 60)

    monkeypatch.setattr(subprocess, "run", late)
    with pytest.raises(StateError, match="did not answer"):
        flower.nodes(tmp_path)


def test_flower_is_started_without_telemetry_updates_and_installing(flwr: Pretended, tmp_path: Path) -> None:
    flwr.says('{"success": true, "nodes": []}')
    flower.nodes(tmp_path)
    environment = flwr.called["environment"]
    assert isinstance(environment, dict)
    wanted = {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_HOME": str(tmp_path),
    }
    assert environment | wanted == environment


def test_flowers_commands_are_told_where_the_superlink_is(tmp_path: Path) -> None:
    flower.write_connection(tmp_path, address="127.0.0.1:50001", ca=tmp_path / "ca.crt")
    told = tomllib.loads((tmp_path / "config.toml").read_text())["superlink"]
    assert told["market"] == {"address": "127.0.0.1:50001", "root-certificates": str(tmp_path / "ca.crt")}


def test_another_version_of_flower_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "version", lambda _: "1.42.0")
    with pytest.raises(ConfigError, match=r"1\.42\.0.*allowed: 1\.41"):
        flower.check_version()


def test_the_installed_version_of_flower_is_the_supported_one() -> None:
    flower.check_version()
