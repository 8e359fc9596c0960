"""A run that is made again gives the same bits; what stands in the way, or was changed since, is named."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shared_model.errors import ConfigError, StateError
from simulations.runs import environment, manifest, recording, rerun

from . import tiny


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def changed(directory: Path, **keys: object) -> None:
    manifest.write(replace(manifest.read(directory), **keys), directory)  # type: ignore[arg-type]


def test_a_run_made_again_is_the_same_bit_for_bit(finished: Path) -> None:
    outcome = rerun.rerun(finished, tiny.silent)
    assert outcome.identical
    assert outcome.differences == outcome.tampered == ()
    assert outcome.verdict == f"Identical: {outcome.compared} result files are the same, bit for bit."
    assert outcome.out == finished.with_name("run-rerun-1")
    assert json.loads((outcome.out / "rerun.json").read_text())["identical"]


def test_it_reads_the_copies_not_the_files_that_were_edited_since(copied: Path) -> None:
    kept = manifest.read(copied)
    asked = recording.asked_of(kept, copied, out=copied.with_name("again"))
    assert asked.file == copied / "inputs" / "tiny.toml"
    assert list(rerun.obstacles(copied)) == []


def test_a_result_that_was_changed_is_named_with_the_number(copied: Path, finished: Path) -> None:
    result = json.loads((copied / "result.json").read_text())
    true = result["cells"][0]["federated"]
    result["cells"][0]["federated"] = 0.125
    (copied / "result.json").write_text(json.dumps(result))
    assert "result.json was changed after the run ended" in rerun.warnings(copied)
    outcome = rerun.compared(copied, finished)
    assert outcome.tampered == ("result.json",)
    assert not outcome.identical
    found = rerun._difference(copied / "result.json", finished / "result.json")
    assert found == f"cells[0].federated was 0.125, is {true}"


def test_times_are_no_results(copied: Path, finished: Path) -> None:
    result = json.loads((copied / "result.json").read_text())
    result |= {"seconds": 1e9, "created": "then", "command": "another"}
    (copied / "result.json").write_text(json.dumps(result))
    assert rerun.compared(copied, finished).identical


def test_an_array_that_differs_in_one_bit_is_named(copied: Path, finished: Path) -> None:
    path = copied / "seed-0" / "checkpoints" / "round-000001.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    changed(copied, results=manifest.read(copied).results | {str(path.relative_to(copied)): "another"})
    (line,) = rerun.compared(copied, finished).differences
    assert line.startswith("seed-0/checkpoints/round-000001.safetensors: ")
    assert ' was "float64 ' in line


EDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an edited copy": (
        lambda run: (run / "inputs" / "tiny.federation.toml").write_text("# another"),
        "inputs/tiny.federation.toml was changed since the run",
    ),
    "a lost copy": (lambda run: (run / "inputs" / "tiny.toml").unlink(), "inputs/tiny.toml is gone"),
    "lost data": (
        lambda run: changed(run, data=(manifest.Data(path="/nowhere/lines.csv", bytes=1, sha256=""),)),
        "the data file /nowhere/lines.csv is gone",
    ),
    "other data": (
        lambda run: changed(run, data=(manifest.Data(path=str(run / "result.json"), bytes=1, sha256=""),)),
        "result.json is another one than the run has read",
    ),
    "no end": (lambda run: changed(run, results={}), "the run has not ended"),
    "two machines": (
        lambda run: changed(run, environments=({"cpu": "a"}, {"cpu": "b"})),
        "several versions or machines worked on it; they differ in cpu",
    ),
}


@pytest.mark.parametrize(("edit", "said"), EDITS.values(), ids=EDITS)
def test_what_stands_in_the_way_is_said_before_anything_runs(
    copied: Path, edit: Callable[[Path], object], said: str
) -> None:
    edit(copied)
    with pytest.raises(StateError, match=said):
        rerun.rerun(copied, tiny.silent)
    assert not copied.with_name("run-rerun-1").exists()


def test_another_version_is_named_beforehand(copied: Path) -> None:
    before = manifest.read(copied).environments[0]
    changed(copied, environments=(before | {"torch": "1.0"},))
    assert f"torch was 1.0, is {before['torch']}" in rerun.warnings(copied)


def test_a_difference_is_put_down_to_the_version_that_differs(copied: Path, finished: Path) -> None:
    before = manifest.read(copied)
    environments = (before.environments[0] | {"torch": "1.0"},)
    changed(copied, environments=environments, results=before.results | {"result.json": "another"})
    verdict = rerun.compared(copied, finished).verdict
    assert "Not reproduced: 1 of " in verdict
    assert f"torch was 1.0, is {before.environments[0]['torch']}." in verdict


def test_only_a_run_directory_can_be_made_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a run directory, which the studies of `fedbazaar-sim` make"):
        rerun.rerun(tmp_path, tiny.silent)


def test_the_environment_names_processor_threads_and_sources() -> None:
    assert environment.environment().keys() >= {"cpu", "threads", "sources", "torch", "opacus", "flwr"}
