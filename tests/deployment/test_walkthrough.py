"""The README's walk-through, word for word: from a fresh clone to a release that three merchants adopted."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from simulations.local_deployment import free_port

pytestmark = pytest.mark.deploy

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SHOPS = ("synthetic-01", "synthetic-02", "synthetic-03")
SECONDS = 600


def section() -> str:
    """The README's part about a deployment."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.split("## For real: a coordinator and three merchants")[1].split("\n## ")[0]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", section(), re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Walk:
    """A walk-through that was walked.

    Attributes:
        folder: Where, as if it were the clone.
        output: What was printed.
        code: Exit code of the shell.
    """

    folder: Path
    output: str
    code: int

    def told(self, program: str, *arguments: str) -> dict[str, Any]:
        """What a command prints for programs."""
        ran = subprocess.run(
            [BIN / program, *arguments, "--json"], cwd=self.folder, capture_output=True, check=True
        )
        found: dict[str, Any] = json.loads(ran.stdout)
        return found


@pytest.fixture(scope="module")
def walk() -> Iterator[Walk]:
    """The walk-through, in a folder that has of the clone what the walk-through names, at a free port."""
    script = "".join(blocks("bash")).replace("8443", str(free_port()))
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name), Path(name) / "output.txt"
        (folder / "simulations").symlink_to(ROOT / "simulations")
        (folder / ".venv").symlink_to(BIN.parent)
        with output.open("wb") as file:
            shell = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                env={**os.environ, "COLUMNS": "80"}, start_new_session=True,
            )  # fmt: skip
            try:
                code = shell.wait(SECONDS)
            except subprocess.TimeoutExpired:
                code = 124
            finally:
                end(shell.pid)
        yield Walk(folder, output.read_text(), code)


def end(session: int) -> None:
    """Kill what is left of a walk that did not come to its own end."""
    for process in psutil.process_iter():
        if process.is_running() and session_of(process) == session:
            process.kill()


def session_of(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return 0


def left_running(folder: Path) -> list[str]:
    """Command lines of processes that have anything to do with the folder."""
    found = [" ".join(p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [line for line in found if str(folder) in line]


def test_every_command_of_it_succeeds(walk: Walk) -> None:
    assert walk.code == 0, walk.output


def test_all_rounds_are_closed_with_all_three_merchants(walk: Walk) -> None:
    run = walk.told("fedbazaar-server", "status", "runs/market")["run"]
    assert (run["state"], run["round"], run["rounds"]) == ("finished", 10, 10)
    assert run["last"]["accepted"] == list(SHOPS)


def test_all_three_adopted_what_was_released(walk: Walk) -> None:
    run = walk.told("fedbazaar-server", "status", "runs/market")["run"]
    assert run["released"] == dict.fromkeys(SHOPS, "adopted")


@pytest.mark.parametrize("shop", SHOPS)
def test_a_merchant_knows_its_rounds_and_what_it_serves(walk: Walk, shop: str) -> None:
    told = walk.told("fedbazaar-client", "status", f"runs/shops/{shop}")
    assert [training["rounds"] for training in told["trainings"]] == [10]
    assert told["adopted"]["tasks"].keys() == {"late", "bad_review", "units", "delivery_days"}
    assert told["refusals"] == []


@pytest.mark.parametrize("line", [line for block in blocks("text") for line in block.splitlines() if line])
def test_what_the_readme_shows_is_what_is_printed(walk: Walk, line: str) -> None:
    assert shape(line) in shape(walk.output)


def shape(text: str) -> str:
    """The text without what differs between walks: numbers, fingerprints, and blanks in tables."""
    return re.sub(r"[ \t]+", " ", re.sub(r"[0-9a-f.]*[0-9][0-9a-f.-]*", "#", text)).strip()


def test_nothing_is_left_running(walk: Walk) -> None:
    assert left_running(walk.folder) == []
    for shop in SHOPS:
        assert not walk.told("fedbazaar-client", "status", f"runs/shops/{shop}")["agent_up"]
    assert walk.told("fedbazaar-server", "status", "runs/market")["superlink"] == "down"
