"""The submitted app carries no code, and knows every setting."""

import subprocess
import tomllib
import zipfile
from pathlib import Path

from server.config import parse_run_config
from server.deployment import flower, thin_app


def app() -> "dict[str, object]":
    found: dict[str, object] = tomllib.loads(thin_app.text())["tool"]["flwr"]["app"]
    return found


def test_its_settings_are_the_run_configs() -> None:
    settings = app()["config"]
    assert isinstance(settings, dict)
    parsed = parse_run_config(settings | {"contract": "c", "run-directory": "r"})
    assert (parsed.keep_checkpoints, parsed.wait_seconds) == (2, 300.0)


def test_it_names_what_is_installed_on_either_side() -> None:
    assert app()["components"] == {"serverapp": "server.app:app", "clientapp": "client.app:app"}


def test_flower_builds_a_bundle_of_it_without_any_code(tmp_path: Path) -> None:
    thin_app.write(tmp_path / "app")
    command = [flower.program("flwr"), "build", "--app", "app"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=flower.environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (bundle,) = tmp_path.glob("*.fab")
    assert sorted(zipfile.ZipFile(bundle).namelist()) == [".info/CONTENT", "pyproject.toml"]
