"""Engines that are compared do the same work, and a comparison says when they did not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from simulations.benchmarks.engines import judged, measured, ours, work
from simulations.benchmarks.engines.loop import Loop
from simulations.benchmarks.engines.opacus_loop import OpacusLoop
from simulations.benchmarks.engines.peers import runs
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
