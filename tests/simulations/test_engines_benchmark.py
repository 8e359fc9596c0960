"""Engines that are compared do the same work, and a comparison says when they did not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from simulations.benchmarks import engines
from simulations.benchmarks.engines import judged, measured, ours, work
from simulations.benchmarks.engines.loop import Loop
from simulations.benchmarks.engines.opacus_loop import OpacusLoop
from simulations.benchmarks.engines.peers import competitors, runs, scripts
from simulations.benchmarks.engines.peers.processes import Told, with_torch
from simulations.benchmarks.engines.stock_loop import StockLoop

SMALL = work.standard(rounds=3, merchants=4, asked=4, rows=100)
PRIVACY = {"epsilon": 50.0, "delta": 1e-5, "max_records": 4}


def shop_like(**options):
    return work.product(rounds=2, merchants=3, asked=3, **options)


def trained(loop, rounds):
    for number in range(rounds):
        loop.round(number)
    return loop.arrays()


def loss_after(job, arrays):
    return judged.loss_of(job, arrays)


@pytest.mark.parametrize(
    "options", [{}, {"architecture": "mmoe"}, {"buckets": 50}], ids=["shared", "mmoe", "tables"]
)
def test_the_lean_loop_ends_where_the_platform_ends(options):
    job = shop_like(**options)
    other = Loop(job)
    ran = ours.ran(job, "loop", between=other.round)
    judged.require_same_job({"ours": loss_after(job, ran.arrays), "loop": loss_after(job, other.arrays())})


def test_the_lean_loop_starts_from_the_platforms_model():
    job = shop_like(buckets=50)
    start = Loop(job).arrays()
    initial = ours.initial_shared(job.contract, ours.SEED)
    assert start.keys() == initial.keys()
    assert all(np.array_equal(start[name], initial[name]) for name in start)


def test_the_stock_loop_learns_what_the_lean_loop_learns():
    stock, lean = trained(StockLoop(SMALL), 12), trained(Loop(SMALL), 12)
    assert loss_after(SMALL, stock) == pytest.approx(loss_after(SMALL, lean), rel=0.1)


def test_the_private_loop_moves_what_travels():
    loop = OpacusLoop(work.product(rounds=1, merchants=2, asked=2, privacy=PRIVACY))
    before = [tensor.clone() for tensor in loop.shared]
    loop.round(1)
    assert all(not torch.equal(old, new) for old, new in zip(before, loop.shared, strict=True))


def test_private_work_has_bounded_shoppers():
    rows = work.product(rounds=1, merchants=1, privacy=PRIVACY).merchants["merchant-000"]
    assert rows.units == work.SHOPPERS
    assert int(torch.bincount(rows.unit).max()) <= work.MOST_RECORDS


def test_engines_that_reached_other_losses_did_another_job():
    with pytest.raises(judged.DifferentJobError, match=r"ours 0\.5000, theirs 0\.6000"):
        judged.require_same_job({"ours": 0.5, "theirs": 0.6})


def test_a_figure_is_the_median_of_ratios_not_the_ratio_of_medians():
    found = measured.compared([2.0, 8.0, 30.0], [1.0, 2.0, 10.0], "")
    assert (found.ratio, found.theirs, found.ours) == (3.0, 8000.0, 2000.0)


def test_peers_get_the_same_rows(tmp_path: Path):
    runs.handed(SMALL, tmp_path)
    written = np.load(tmp_path / "work.npz")
    assert written["x"].shape == (4, 100, work.NUMBERS)
    assert np.array_equal(written["y"][2], SMALL.merchants["merchant-002"].encoded.labels["late"])


def test_a_peer_that_is_not_there_is_left_out_with_the_reason():
    assert "--pfl-python" in (runs.why_not_pfl(None) or "")
    assert "cannot import" in (runs.why_not_pfl(Path("/bin/false")) or "")


COMMON = """
import os
import numpy as np
COHORT, BATCH, LR, H, ROUNDS = int(os.environ.get("COHORT", 20)), 50, .1, 64, int(os.environ["ROUNDS"])
def make_data():
    x, y = np.zeros((64, 500, 30), np.float32), np.zeros((64, 500, 1), np.float32)
    x[3, 7, 2], y[3, 7, 0] = 9, 1
    return x, y, np.zeros((10, 30), np.float32), np.ones((10, 1), np.float32)
def make_model():
    import torch
    model = torch.nn.Sequential(torch.nn.Linear(30, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 1))
    torch.nn.init.constant_(model[2].bias, 0.5)
    return model
"""
FLOWER = """
import json, sys
import common
said = {"name": f"flower {common.ROUNDS} {sys.argv[1:]}", "ms_round_median": 500.0, "loss": 0.25, "auc": 0.9}
print("(actor) RESULT {}")
print("RESULT " + json.dumps(said))
"""


@pytest.fixture
def competitors_scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "peers"
    folder.mkdir()
    (folder / "common.py").write_text(COMMON)
    (folder / "flb.py").write_text(FLOWER)
    (folder / "pflb.py").write_text(FLOWER)
    return folder


def test_ours_trains_on_the_rows_of_the_competitors_scripts(competitors_scripts, tmp_path, monkeypatch):
    monkeypatch.setenv("COHORT", "3")
    job = scripts.work(6, tmp_path, competitors_scripts)
    rows = job.merchants["merchant-003"].encoded
    assert (len(job.merchants), job.contract.federation.rounds, len(job.test)) == (64, 6, 10)
    assert ours.initial(job)["heads.late.prior.bias"] == [0.5]
    assert (rows.numeric[7, 2], rows.labels["late"][7], rows.labels["late"].sum()) == (9, 1, 1)


def test_scripts_that_do_other_work_are_not_compared(competitors_scripts, tmp_path):
    (competitors_scripts / "common.py").write_text(COMMON.replace("BATCH, LR, H", "BATCH, H, LR"))
    with pytest.raises(RuntimeError, match="does other work"):
        scripts.work(6, tmp_path, competitors_scripts)


def test_a_script_runs_for_the_rounds_of_the_work_and_its_result_is_read(competitors_scripts, tmp_path):
    told = scripts.flower(6, competitors_scripts)(tmp_path)
    assert told == Told(name="flower 6 []", seconds=0.5, loss=0.25)


def test_pfl_research_is_told_to_use_one_thread_a_process(competitors_scripts, tmp_path):
    told = scripts.pfl(Path(sys.executable), 1, 6, competitors_scripts)(tmp_path)
    assert told.name == "flower 6 ['1']"


def test_several_processes_of_pfl_research_are_started_by_torchs_launcher():
    command = with_torch(Path("/opt/pfl/bin/python"), 2)
    assert command == [
        "/opt/pfl/bin/python",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
    ]


def test_a_script_that_fails_says_why(competitors_scripts, tmp_path):
    (competitors_scripts / "flb.py").write_text("raise SystemExit('no Ray today')")
    with pytest.raises(RuntimeError, match="no Ray today"):
        scripts.flower(6, competitors_scripts)(tmp_path)


def test_where_the_scripts_are_absent_their_figure_says_what_is_missing(tmp_path):
    assert "common.py, flb.py, pflb.py not found" in (scripts.why_not(tmp_path) or "")


def test_without_the_scripts_the_fair_competitor_is_still_measured(monkeypatch):
    monkeypatch.setattr(scripts, "why_not", lambda: "not found")
    monkeypatch.setattr(runs, "why_not_ray", lambda: None)
    missing = {c.figure: c.missing for c in competitors.contests(None, rounds=20)}
    assert (missing["engines.ray"], missing["engines.ray_imported"]) == ("not found", None)


def test_a_competitor_that_is_absent_is_left_out_with_a_warning(monkeypatch, caplog):
    monkeypatch.setattr(runs, "why_not_ray", lambda: "Ray is not installed")
    assert engines._peers(None) == []
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "engines.ray is left out",
        "engines.ray_imported is left out",
        "engines.pfl is left out",
    ]


def test_without_the_scripts_the_work_is_made_up(monkeypatch):
    monkeypatch.setattr(scripts, "why_not", lambda: "not found")
    assert competitors.work(rounds=20).test.numeric.equal(work.standard(rounds=1).test.numeric)


def test_peers_are_compared_by_the_fastest_way_of_each():
    ways = [
        lambda folder: Told(name="slow", seconds=9.0, loss=loss),
        lambda folder: Told(name="fast", seconds=6.0, loss=loss),
    ]
    loss = judged.loss_of(SMALL, ours.ran(SMALL, "auto").arrays)
    found = measured.against(SMALL, {"engines.ray": ways}, repeats=1)["engines.ray"]
    assert (found.theirs, found.other) == (6000.0, "fast")
