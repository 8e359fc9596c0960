import logging
from dataclasses import asdict

import numpy as np
import pytest

from server import checkpoint
from server.checkpoint import FOLDER
from server.coordinator import JOURNAL, train
from shared_model import journal
from shared_model.errors import AggregationError, FingerprintMismatch, StateError
from tests.server.fakes import (
    answer,
    arrays,
    events,
    make_federation,
    make_grid,
    moves,
    received,
    roster_of,
    run,
    settings_in,
)

ADAM = {"optimizer": "fedadam", "learning_rate": 0.1, "final_learning_rate": 0.01, "average": "last_half"}


class Stop(Exception):
    """The power cut of these tests."""


def halves(target):
    """A merchant whose training goes half the way to `target`."""
    return lambda question: answer(
        question, {n: ((a + target) / 2).astype(np.float32) for n, a in received(question).items()}
    )


def stop_after(number):
    def on_round(summary):
        if summary.round == number:
            raise Stop

    return on_round


def test_fedavg_of_one_merchant_is_that_merchants_weights(tmp_path):
    weights = {"w": np.random.default_rng(0).normal(size=50).astype(np.float32)}
    start = {"w": np.random.default_rng(1).normal(size=50).astype(np.float32)}
    released = run(tmp_path, {"alba": lambda q: answer(q, weights)}, make_federation(rounds=3), initial=start)
    np.testing.assert_array_equal(released["w"], weights["w"])
    assert released["w"].dtype == np.float32


def test_the_last_iterate_is_released(tmp_path):
    assert run(tmp_path, {"alba": moves(1.0)}, make_federation(rounds=4))["w"][0] == 4.0


def test_the_mean_of_the_last_half_is_released(tmp_path):
    federation = make_federation(rounds=4, server={"average": "last_half"})
    assert run(tmp_path, {"alba": moves(1.0)}, federation)["w"][0] == 3.5


@pytest.mark.parametrize("stopped_after", [1, 2, 3, 4, 5])
def test_a_run_that_stopped_and_went_on_equals_one_that_did_not(tmp_path, stopped_after):
    federation = make_federation(rounds=5, server=ADAM)
    merchants = {"alba": halves(np.float32(0.1)), "bruno": halves(np.float32(-0.7))}
    whole = run(tmp_path / "whole", merchants, federation)
    with pytest.raises(Stop):
        run(tmp_path / "stopped", merchants, federation, on_round=stop_after(stopped_after))
    resumed = run(tmp_path / "stopped", merchants, federation)
    np.testing.assert_array_equal(resumed["w"], whole["w"])
    final = [asdict(checkpoint.latest(tmp_path / name)) for name in ("whole", "stopped")]
    np.testing.assert_equal(final[1], final[0])


def test_a_finished_run_is_only_released_again(tmp_path):
    federation = make_federation(rounds=2)
    first = run(tmp_path, {"alba": moves(1.0)}, federation)
    again = run(tmp_path, {"alba": moves(100.0)}, federation)
    np.testing.assert_array_equal(again["w"], first["w"])


def test_a_damaged_newest_checkpoint_costs_nothing(tmp_path, caplog):
    federation = make_federation(rounds=4)
    with pytest.raises(Stop):
        run(tmp_path, {"alba": moves(1.0)}, federation, on_round=stop_after(3))
    (tmp_path / FOLDER / "round-000003.safetensors").write_bytes(b"half a file")
    with caplog.at_level(logging.WARNING):
        released = run(tmp_path, {"alba": moves(1.0)}, federation)
    assert released["w"][0] == 4.0
    assert events(tmp_path, "resumed") == [{"round": 2}]


def test_a_full_disk_stops_the_run_and_it_goes_on_later(tmp_path, monkeypatch):
    federation = make_federation(rounds=3)
    write = checkpoint.files.write_tensors

    def full_in_round_two(path, *rest, **options):
        if path.name == "round-000002.safetensors":
            raise OSError(28, "No space left on device")
        write(path, *rest, **options)

    monkeypatch.setattr(checkpoint.files, "write_tensors", full_in_round_two)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path, {"alba": moves(1.0)}, federation)
    assert checkpoint.latest(tmp_path).progress.round == 1
    monkeypatch.undo()
    assert run(tmp_path, {"alba": moves(1.0)}, federation)["w"][0] == 3.0


def test_another_contract_in_the_same_directory_is_refused(tmp_path):
    run(tmp_path, {"alba": moves(1.0)}, make_federation(rounds=1))
    with pytest.raises(FingerprintMismatch, match=r"federation.toml was changed"):
        run(tmp_path, {"alba": moves(1.0)}, make_federation(rounds=2))


def test_another_lineage_in_the_same_directory_is_refused(tmp_path):
    run(tmp_path, {"alba": moves(1.0)}, make_federation())
    with pytest.raises(StateError, match="holds lineage 'first', asked for 'second'"):
        run(tmp_path, {"alba": moves(1.0)}, make_federation(), lineage="second")


def test_another_model_in_the_same_directory_is_refused(tmp_path):
    run(tmp_path, {"alba": moves(1.0)}, make_federation())
    with pytest.raises(StateError, match="arrays of another model"):
        run(tmp_path, {"alba": moves(1.0)}, make_federation(), initial=arrays(0.0, size=4))


def test_a_run_that_diverges_stops_before_it_is_saved(tmp_path):
    largest = np.finfo(np.float32).max
    federation = make_federation(server={"learning_rate": 2.0})
    with pytest.raises(AggregationError, match="Round 1 makes w infinite"):
        run(tmp_path, {"alba": lambda q: answer(q, arrays(largest))}, federation)
    assert checkpoint.latest(tmp_path).progress.round == 0


def test_the_journal_tells_the_whole_run(tmp_path):
    run(tmp_path, {"alba": moves(1.0)}, make_federation())
    names = [line["event"] for line in journal.read(tmp_path / JOURNAL)]
    assert names == [
        "run_started", "checkpoint", "round_opened", "round_closed", "checkpoint", "run_finished"
    ]  # fmt: skip
    assert events(tmp_path, "round_opened") == [{"round": 1, "asked": ["alba"]}]
    assert events(tmp_path, "round_closed")[0]["accepted"] == ["alba"]


def test_the_arrays_that_were_given_to_begin_with_stay_whole(tmp_path):
    initial = arrays(3.0)
    grid = make_grid({"alba": moves(1.0)})
    train(
        grid,
        make_federation(),
        initial,
        settings=settings_in(tmp_path),
        roster=roster_of(grid),
        moved_by={},
    )
    assert initial.keys() == {"w"}


def test_a_summary_says_who_took_part(tmp_path):
    summaries = []
    grid = make_grid({"alba": moves(1.0), "bruno": moves(9.0), "coral": lambda q: answer(q, {})})
    grid.offline.add("bruno")
    run(tmp_path, {}, make_federation(quorum=0.3), grid=grid, on_round=summaries.append)
    [summary] = summaries
    assert (summary.round, summary.rounds, summary.asked, summary.attempt) == (1, 1, 3, 1)
    assert (summary.accepted, summary.missing) == (("alba",), ("bruno",))
    assert summary.refused == {"coral": "missing array w"}
    assert summary.arrays["w"][0] == 1.0
