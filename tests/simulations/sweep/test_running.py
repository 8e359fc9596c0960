"""A small sweep from its file to its page; it goes on, chooses on validation rows, and can be made again."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared_model.errors import AggregationError
from simulations.compare import predictions
from simulations.runs import recording, rerun
from simulations.runs.asked import Asked
from simulations.sweep import page, plan, running, table, work
from simulations.sweep.plan import Plan

from . import sweeps


def train(planned: Plan, out: Path) -> None:
    for point in planned.points:
        work.run(running.job_of(planned, point, out, planned.seeds))


def silent(*_: object) -> None:
    """Tell nobody of progress."""


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan.load(sweeps.write(tmp_path_factory.mktemp("sweep")))


@pytest.fixture(scope="module")
def trained(planned: Plan) -> Path:
    out = planned.experiment.parent / "out"
    train(planned, out)
    return out


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "out"))


def test_the_point_that_learns_is_best_and_says_how_it_was_chosen(planned: Plan, trained: Path) -> None:
    found = table.results(planned, trained, "again")
    assert found.best == 1
    assert page.answer(found).startswith(
        "local.learning_rate = 0.01 is best, chosen on validation rows alone; test rows had no say."
    )
    behind = found.lines[0].behind
    assert behind is not None and behind.mean > 1
    assert found.lines[1].behind is None


def test_test_rows_have_no_say_in_the_choice(planned: Plan, copied: Path) -> None:
    before = table.results(planned, copied, "again")
    for point in planned.points:
        path = running.job_of(planned, point, copied, (0,)).file(0)
        kept = predictions.load(path)
        worse = {p: v * 100 if p.split == "test" else v for p, v in kept["heads"].items()}
        predictions.save(path, {"heads": worse})
    after = table.results(planned, copied, "again")
    assert after.best == before.best
    assert [line.score for line in after.lines] == [line.score for line in before.lines]
    assert after.lines[1].tasks != before.lines[1].tasks


def test_what_is_there_is_not_trained_again(planned: Plan, copied: Path) -> None:
    job = running.job_of(planned, planned.points[0], copied, planned.seeds)
    before, stamp = job.file(1).read_bytes(), job.file(0).stat().st_mtime_ns
    job.file(1).unlink()
    assert job.missing == (1,)
    work.run(job)
    assert job.file(1).read_bytes() == before
    assert job.file(0).stat().st_mtime_ns == stamp


def test_a_training_that_diverges_is_an_outcome(
    planned: Plan, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*_: object) -> None:
        raise AggregationError("Round 1 makes bottom infinite: lower the learning rates.")

    job = running.job_of(planned, planned.points[1], copied, planned.seeds)
    job.file(0).unlink()
    monkeypatch.setitem(work.RUN, "federated", diverges)
    work.run(job)
    found = table.results(planned, copied, "again")
    assert found.best == 0
    assert page.failures(found) == [
        "local.learning_rate = 0.01, seed 0: Round 1 makes bottom infinite: lower the learning rates."
    ]


def test_the_csv_has_a_row_for_every_point(planned: Plan, copied: Path) -> None:
    found = table.results(planned, copied, "again")
    table.write(found, copied)
    rows = list(csv.DictReader((copied / "sweep.csv").read_text().splitlines()))
    assert [row["local.learning_rate"] for row in rows] == ["1e-06", "0.01"]
    assert float(rows[1]["delivery_days"]) == found.lines[1].tasks["delivery_days"].mean
    assert [row["best"] for row in rows] == ["False", "True"]


def test_the_page_shows_answer_picture_and_command(planned: Plan, copied: Path) -> None:
    found = table.results(planned, copied, "fedbazaar-sim sweep <file>")
    page.write_page(found, copied / "sweep.html")
    text = (copied / "sweep.html").read_text()
    assert page.answer(found) in text
    assert "fedbazaar-sim sweep &lt;file&gt;" in text
    assert "<svg" in text


def test_one_seed_says_that_it_cannot_tell(planned: Plan, trained: Path) -> None:
    found = table.results(replace(planned, seeds=(0,)), trained, "again")
    assert page.answer(found).endswith("One seed does not tell how sure that is.")


def test_an_interval_over_seeds_is_students() -> None:
    found = table.over_seeds([1.0, 2.0, 3.0])  # deviation 1, t(0.975, 2) = 4.303, over the root of 3
    np.testing.assert_allclose([found.mean, found.low, found.high], [2.0, 2 - 2.4841, 2 + 2.4841], atol=1e-4)


@pytest.mark.slow
def test_processes_give_what_one_process_gives_and_a_rerun_is_identical(
    planned: Plan, trained: Path, tmp_path: Path
) -> None:
    file = planned.experiment.parent / "sweep.toml"
    asked = Asked(study="sweep", file=file, out=tmp_path / "run", arguments={"data": None, "workers": 2})
    recording.perform(asked, silent)
    here = {path.relative_to(trained): path.read_bytes() for path in trained.rglob("*.npz")}
    there = {path.relative_to(asked.out): path.read_bytes() for path in asked.out.rglob("*.npz")}
    assert here == there
    assert json.loads((asked.out / "sweep.json").read_text())["best"] == 1
    assert rerun.rerun(asked.out, silent).identical
