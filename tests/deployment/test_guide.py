"""What `docs/deploy.md` and the files beside it say holds for the code; `test_isolation.py` runs its part."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from client import cli as client_cli
from server import cli as server_cli
from server.deployment import certificates, nginx
from server.deployment.gate import LARGEST_BODY, PULL_MESSAGES
from server.deployment.market import Settings
from server.replies import _FLOWER_ERRORS
from shared_model.protocol import Refusal
from simulations.experiment import EXPERIMENTS
from tests.deployment.premises import AGENT, NODE, ROOT, guide

DOCS = ROOT / "docs"
GUIDE = (DOCS / "deploy.md").read_text(encoding="utf-8")
UNITS = sorted((DOCS / "deploy").glob("*.service"))
PACKAGES = ("client", "server", "shared_model")


def part(heading: str) -> str:
    """The guide below a heading, up to the next one of its kind or higher."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,3}} |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
    assert found, heading
    return found[2]


def first_cells(text: str) -> list[str]:
    """What stands in backticks in the first cells of the rows of all tables."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


# --- messages -----------------------------------------------------------------------------------------

EXPLAINED = first_cells(part("What to do when"))
MESSAGES = [message for message in EXPLAINED if " " in message]
REASONS = [message for message in EXPLAINED if " " not in message]


def written() -> Iterator[str]:
    """Every text in the code; of one with values in it, what stands between them."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


WRITTEN = "\0".join(written())


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_is_explained_is_one_that_is_printed(message: str) -> None:
    pieces = [piece.strip() for piece in message.split("…") if piece.strip()]
    assert pieces
    assert [piece for piece in pieces if piece not in WRITTEN] == []


def test_every_reason_why_a_merchant_does_not_count_is_explained() -> None:
    assert {code.name for code in Refusal} - {"ARRAYS"} <= set(REASONS)
    assert set(REASONS) <= {code.name for code in Refusal} | set(_FLOWER_ERRORS.values()) | {"missing"}


# --- settings -----------------------------------------------------------------------------------------


def test_every_setting_of_a_coordinator_is_listed() -> None:
    listed = [name for name in first_cells(part("The coordinator")) if name in Settings.__annotations__]
    assert sorted(listed) == sorted(field.name for field in fields(Settings))


@pytest.mark.parametrize("name", ["proxy", "doorman", "superlink_port"])
def test_a_default_is_the_one_that_is_listed(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| `([^`]+)` \|", GUIDE, re.MULTILINE)
    default = next(field.default for field in fields(Settings) if field.name == name)
    assert row
    assert default is not MISSING
    assert row[1] == str(default).lower() if isinstance(default, bool | int) else row[1] == f'"{default}"'


def test_how_long_certificates_live_is_said() -> None:
    assert f"{certificates.SERVER_DAYS} days" in GUIDE
    assert f"{certificates.WARN_DAYS} days before the end" in GUIDE


def test_both_sides_print_the_same_three_fingerprints(tmp_path: Path) -> None:
    market, shop = tmp_path / "market", tmp_path / "shop"
    founded = typed(server_cli.app, "init", market, "--contract", EXPERIMENTS / "harbour.federation.toml")
    invited = ("init", shop, "--invitation", market / "invitation", "--name", "acme")
    assert fingerprints(founded) == fingerprints(typed(client_cli.app, *invited))
    assert len(fingerprints(founded)) == 3


def typed(app: Typer, *arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def fingerprints(said: str) -> list[str]:
    return re.findall(r"^  (?:contract|signing key|certificate) +\S+$", said, re.MULTILINE)


# --- files beside it ----------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_understands_a_unit(unit: Path, tmp_path: Path) -> None:
    copies = [tmp_path / other.name for other in UNITS]
    for other, copy in zip(UNITS, copies, strict=True):
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", other.read_text(), flags=re.MULTILINE)
        copy.write_text(text)
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / unit.name], capture_output=True, text=True
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_again_for_ever_and_ends_as_a_whole(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert {"Restart=always", "KillMode=control-group", "UMask=0077", "NoNewPrivileges=yes"} <= set(lines)
    assert "ProtectProc=invisible" in lines


@pytest.mark.parametrize(("name", "user", "role"), [("agent", AGENT, "agent"), ("node", NODE, "node")])
def test_the_units_of_a_merchant_fit_the_users_of_the_guide(name: str, user: str, role: str) -> None:
    unit = (DOCS / "deploy" / f"fedbazaar-{name}.service").read_text()
    (started,) = re.findall(r"^ExecStart=\S+/fedbazaar-client up (\S+) --role (\w+)$", unit, re.MULTILINE)
    assert f"User={user}\n" in unit
    assert re.search(rf"^useradd .* {user}$", guide(), re.MULTILINE)
    assert re.search(rf"^install -d -m 0700 -o {user} .* {started[0]}$", guide(), re.MULTILINE)
    assert started[1] == role


def nginx_with(folder: Path) -> Path:
    """The example in a whole configuration, with files that are there."""
    authority = certificates.new_authority("test")
    certificates.write(authority, certificate=folder / "root.pem", private_key=folder / "root.key")
    issued = certificates.new_server(authority, "market.example")
    certificates.write(issued, certificate=folder / "server.pem", private_key=folder / "server.key")
    example = (DOCS / "deploy" / "nginx.conf").read_text()
    for old, new in (
        (r"/\S+/fullchain\.pem", "server.pem"),
        (r"/\S+/privkey\.pem", "server.key"),
        (r"/\S+/public-root\.pem", "root.pem"),
    ):
        example = re.sub(old, str(folder / new), example)
    whole = folder / "nginx.conf"
    whole.write_text(f"pid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{example}\n}}\n")
    return whole


@pytest.mark.skipif(nginx.program() is None, reason="nginx is not installed")
def test_nginx_understands_the_example(tmp_path: Path) -> None:
    command = [nginx.program() or "", "-t", "-p", tmp_path, "-c", nginx_with(tmp_path), "-e", "stderr"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_the_example_for_nginx_keeps_out_of_the_traps() -> None:
    example = (DOCS / "deploy" / "nginx.conf").read_text()
    (body,) = re.findall(r"client_max_body_size (\d+)m;", example)
    assert int(body) * 1024 * 1024 >= LARGEST_BODY
    (location,) = re.findall(r"location (/\S+/) ", example)
    assert PULL_MESSAGES.startswith(location)
    assert not re.search(r"^\s*return 40[13]|auth_basic|limit_req", example, re.MULTILINE)
