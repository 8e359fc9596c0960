"""What ships is what we think ships, to merchants and to users."""

import ast
import os
import shutil
import statistics
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("server", "client", "shared_model", "simulations")
BUNDLED = ("server", "client", "shared_model")
HEAVY = {"torch", "polars", "opacus", "scipy", "matplotlib", "sqlalchemy", "pydantic"}
OFFLINE = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}


def python(code, *, path=ROOT, cwd=None):
    """Run `code` in a fresh interpreter that finds modules in `path` first; return what it printed."""
    environment = os.environ | OFFLINE | {"PYTHONPATH": str(path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=cwd, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the working tree as Flower and hatch want it: its folder's name is a valid app name."""
    copy = tmp_path_factory.mktemp("packaging") / "fedbazaar"
    copy.mkdir()
    for folder in (*PACKAGES, "tests", "docs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "LICENSE", "README.md", ".gitignore"):
        shutil.copy(ROOT / file, copy)
    return copy


@pytest.fixture(scope="module")
def bundle(checkout):
    """Folder into which the bundle is unpacked, as on a merchant's node."""
    flwr = Path(sys.executable).with_name("flwr")
    subprocess.run([flwr, "build"], cwd=checkout, env=os.environ | OFFLINE, check=True, capture_output=True)
    (built,) = checkout.glob("*.fab")
    unpacked = checkout.parent / "unpacked"
    zipfile.ZipFile(built).extractall(unpacked)
    return unpacked


def files_in(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


# --- names ----------------------------------------------------------------------------------------------


def test_no_other_distribution_owns_our_package_names():
    owners = packages_distributions()
    assert {owner for name in PACKAGES for owner in owners.get(name, ())} <= {"fedbazaar"}


def test_our_packages_live_side_by_side():
    assert {Path(find_spec(name).origin).parents[1] for name in PACKAGES} == {ROOT}


@pytest.mark.parametrize("command", PROJECT["project"]["scripts"].values())
def test_every_command_can_be_imported(command):
    module, function = command.split(":")
    assert python(f"import {module} as m; print(callable(m.{function}))") == "True"


# --- the wheel ------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_four_packages_and_nothing_else(checkout):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(checkout / "dist")]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    (wheel,) = (checkout / "dist").glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {*PACKAGES, f"fedbazaar-{PROJECT['project']['version']}.dist-info"}


# --- the bundle that Flower carries to merchants --------------------------------------------------------


def test_the_bundle_holds_what_both_sides_need_and_nothing_else(bundle):
    modules = {p.relative_to(ROOT).as_posix() for name in BUNDLED for p in (ROOT / name).rglob("*.py")}
    assert files_in(bundle) == modules | {"LICENSE", "pyproject.toml", ".info/CONTENT"}


def test_the_bundle_runs_without_our_wheel(bundle, tmp_path):
    where = python(
        "import client.app, server.app; print(client.app.__file__, server.app.__file__)",
        path=bundle, cwd=tmp_path,
    )  # fmt: skip
    assert where == f"{bundle}/client/app.py {bundle}/server/app.py"


@pytest.mark.parametrize("side", ["server", "client"])
def test_flower_finds_the_app_without_importing_it(side):
    # Flower reads the syntax tree: only a plain assignment counts.
    tree = ast.parse((ROOT / side / "app.py").read_text())
    plain = [t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets]
    assert "app" in plain


# --- layers ---------------------------------------------------------------------------------------------


def test_the_layers_hold():
    # in a process of its own: the linter keeps the streams that it first saw, which a test may have closed
    linter = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    found = subprocess.run(
        [sys.executable, "-c", linter, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert not found.returncode, found.stdout + found.stderr


# --- the thin ClientApp ---------------------------------------------------------------------------------


def test_the_client_app_loads_no_heavy_library():
    loaded = python("import client.app, sys; print(*{m.split('.')[0] for m in sys.modules})").split()
    assert HEAVY & set(loaded) == HEAVY & set(python(_FLOWER_LOADS).split())


_FLOWER_LOADS = "import flwr.clientapp, sys; print(*{m.split('.')[0] for m in sys.modules})"


def seconds_to_import(module):
    # process time: what another process does meanwhile does not count
    return float(
        python(
            f"import time; start = time.process_time()\nimport {module}\nprint(time.process_time() - start)"
        )
    )


@pytest.mark.slow
def test_importing_the_client_app_takes_little_longer_than_flower_alone():
    pairs = [(seconds_to_import("client.app"), seconds_to_import("flwr.clientapp")) for _ in range(15)]
    ours, flower = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert ours <= 1.2 * flower


def private_flower(module: Path) -> set[str]:
    """Names that a module imports from parts of Flower that are not its public interface."""
    tree = ast.parse(module.read_text())
    named = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    named |= {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    public = (
        "flwr",
        "flwr.app",
        "flwr.clientapp",
        "flwr.serverapp",
        "flwr.serverapp.strategy",
        "flwr.simulation",
    )
    return {name for name in named if name.split(".")[0] == "flwr" and name not in public}


def test_private_flower_is_used_in_one_module_on_each_side():
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    users = {str(path.relative_to(ROOT)) for path in modules if private_flower(path)}
    assert users == {"client/bridge.py", "server/streaming.py", "simulations/in_process.py"}
