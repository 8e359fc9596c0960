"""Ray trains the same federation as one process does; starting it is left to tests marked `ray`."""

import gc
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shared_model import journal
from shared_model.errors import ConfigError
from simulations.backends import Backend, train_on

from ..integration import experiments

HERE = Path(__file__).resolve().parents[2]


def test_where_ray_is_not_installed_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'fedbazaar\[ray\]'"):
        train_on(Backend(name="ray"))


def test_a_merchant_cannot_occupy_more_processors_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match="--cpus is 3; allowed: 1 to 2"):
        train_on(Backend(name="ray", cpus=3))


def test_neither_flower_nor_ray_tells_anybody_that_it_is_used() -> None:
    program = (
        "import os, simulations, flwr.supercore.telemetry as flower;"
        "print(flower.FLWR_TELEMETRY_ENABLED, os.environ['RAY_USAGE_STATS_ENABLED'])"
    )
    quiet = {
        n: v for n, v in os.environ.items() if n not in ("FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED")
    }
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=HERE, env=quiet, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "0"]


@pytest.fixture
def swept() -> Iterator[None]:
    """Ray forgets processes that it stopped without waiting for them; their warnings end with the test."""
    yield
    gc.collect()


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.usefixtures("swept")
def test_ray_and_one_process_release_the_same_arrays(tmp_path: Path) -> None:
    site = experiments.site(tmp_path)
    arguments = {"lineage": "parity", "seed": 0}
    here = train_on(Backend())(site, directory=tmp_path / "here", **arguments)  # type: ignore[arg-type]
    experiments.forget(site)
    there = train_on(Backend(name="ray"))(site, directory=tmp_path / "there", **arguments)  # type: ignore[arg-type]
    assert there.keys() == here.keys()
    assert max(np.abs(there[name] - here[name]).max() for name in here) < 1e-6
    assert closed(tmp_path / "there") == closed(tmp_path / "here")


def closed(directory: Path) -> list[tuple[int, list[str]]]:
    lines = journal.read(directory / "journal.jsonl")
    return [(line["round"], line["accepted"]) for line in lines if line["event"] == "round_closed"]
