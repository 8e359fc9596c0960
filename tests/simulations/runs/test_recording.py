"""A run directory says what it was made from, and what was changed while the run went on."""

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from shared_model.errors import ConfigError
from simulations.runs import manifest, recording, results, studies
from simulations.runs.asked import Asked, Inputs, Study

from . import tiny


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    """A study that copies a number from its file into its result, with one file of data."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lines.csv").write_text("1")
    (tmp_path / "number.toml").write_text("number = 1")

    def perform(asked: Asked, progress: object) -> None:
        number = tomllib.loads(asked.file.read_text())["number"]
        (asked.out / "found.json").write_text(json.dumps({"number": number, "seconds": 0.5}))

    def inputs(asked: Asked) -> Inputs:
        folder = tmp_path / "data"
        return Inputs(files=(asked.file,), data=(folder,), seeds=(7,), arguments=asked.arguments)

    monkeypatch.setitem(
        studies.STUDIES, "copy", Study(perform=perform, inputs=inputs, results=("found.json",))
    )
    return Asked(study="copy", file=tmp_path / "number.toml", out=tmp_path / "out", arguments={"workers": 1})


def test_the_directory_holds_copies_hashes_seeds_and_versions(study: Asked) -> None:
    recording.perform(study, tiny.silent)
    kept = manifest.read(study.out)
    assert kept.copies(study.out).read_text() == "number = 1"
    assert kept.data[0].path.endswith("lines.csv")
    assert kept.data[0].sha256 == manifest.hash_of(Path(kept.data[0].path))
    assert kept.seeds == (7,)
    assert kept.results == {"found.json": results.digest(study.out / "found.json")}


def test_a_study_that_fails_leaves_an_unfinished_run(study: Asked) -> None:
    study.file.write_text("letter = 1")
    with pytest.raises(KeyError):
        recording.perform(study, tiny.silent)
    assert manifest.read(study.out).results == {}


def test_a_run_that_goes_on_with_another_file_says_so(study: Asked) -> None:
    recording.perform(study, tiny.silent)
    study.file.write_text("number = 2")
    recording.perform(study, tiny.silent)
    assert manifest.read(study.out).mixed == (f"{study.file} was changed or left out while the run went on",)


def test_a_run_that_goes_on_with_the_same_files_is_as_it_was(study: Asked) -> None:
    recording.perform(study, tiny.silent)
    before = manifest.read(study.out)
    recording.perform(replace(study, arguments={"workers": 2}), tiny.silent)
    assert manifest.read(study.out) == before


def test_a_resumed_run_reads_its_copies(study: Asked) -> None:
    recording.perform(study, tiny.silent)
    study.file.write_text("number = 2")
    recording.perform(recording.resumed(study.out), tiny.silent)
    assert json.loads((study.out / "found.json").read_text())["number"] == 1
    assert manifest.read(study.out).mixed == ()


def test_another_study_may_not_go_on_in_the_directory(study: Asked) -> None:
    recording.perform(study, tiny.silent)
    manifest.write(replace(manifest.read(study.out), study="compare"), study.out)
    with pytest.raises(ConfigError, match="another directory: this one holds a `compare`"):
        recording.perform(study, tiny.silent)


def test_files_from_before_the_run_are_confessed(study: Asked) -> None:
    study.out.mkdir()
    (study.out / "old.txt").touch()
    recording.perform(study, tiny.silent)
    assert manifest.read(study.out).mixed == ("the directory held files before the run began",)


def test_copies_lie_to_one_another_as_the_originals_do(tmp_path: Path) -> None:
    for name in ("studies", "contracts"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.toml").touch()
    found = manifest.inputs_of(
        [tmp_path / "studies" / "a.toml", tmp_path / "studies" / "../contracts/a.toml"]
    )
    assert [one.name for one in found] == ["studies/a.toml", "contracts/a.toml"]


def test_of_a_file_of_data_its_neighbours_are_not_read(tmp_path: Path) -> None:
    for name in ("lines.csv", "other.csv"):
        (tmp_path / name).touch()
    assert [Path(one.path).name for one in manifest.data_of([tmp_path / "lines.csv"])] == ["lines.csv"]
    assert len(manifest.data_of([tmp_path])) == 2


def test_differences_name_the_place() -> None:
    before = {"a": [1, 2.0], "b": {"c": None}, "d": 1}
    now = {"a": [1, 2.5], "b": {"c": 0}, "e": 1}
    found = list(results.differences(before, now))
    assert found == ["a[1] was 2.0, is 2.5", "b.c was null, is 0", "d is missing", "e is new"]


def test_many_differences_are_cut_short() -> None:
    assert results.shown(map(str, range(7))) == "0; 1; 2; 3; 4; and 2 more"
