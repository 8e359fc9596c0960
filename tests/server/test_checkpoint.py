import logging
from dataclasses import asdict

import numpy as np
import pytest

from server import checkpoint
from server.averaging import Average
from server.checkpoint import FOLDER, Checkpoint, Progress
from shared_model.errors import StateError

THIRD = 1 / 3
"""Not a float32: rounding on the way to the disk would show."""


def make_arrays(value):
    return {"heads.late.w": np.full((2, 2), value), "b": np.full((), value)}


def make_checkpoint(number=1, value=THIRD):
    progress = Progress(
        round=number,
        iterate=make_arrays(value),
        moments={"first": make_arrays(value + 1), "second": make_arrays(value + 2)},
        average=Average(3, make_arrays(value + 3)),
        answered={"alba": number},
        ledgers={"alba": "a" * 64},
    )
    return Checkpoint(fingerprint="f", lineage="l", progress=progress)


def test_what_is_read_back_is_what_was_written(tmp_path):
    checkpoint.save(tmp_path, make_checkpoint())
    found = checkpoint.latest(tmp_path)
    np.testing.assert_equal(asdict(found), asdict(make_checkpoint()))
    assert found.progress.iterate["b"].dtype == np.float64
    assert found.progress.iterate["b"] == THIRD


def test_only_the_last_checkpoints_are_kept(tmp_path):
    checkpoint.save(tmp_path, make_checkpoint(8))
    checkpoint.save(tmp_path, make_checkpoint(9))
    checkpoint.save(tmp_path, make_checkpoint(10))
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [
        "round-000009.safetensors",
        "round-000010.safetensors",
    ]


def test_an_empty_directory_has_no_checkpoint(tmp_path):
    assert checkpoint.latest(tmp_path) is None


def test_a_damaged_newest_file_is_skipped_with_a_warning(tmp_path, caplog):
    checkpoint.save(tmp_path, make_checkpoint(1))
    newest = checkpoint.save(tmp_path, make_checkpoint(2))
    newest.write_bytes(newest.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        assert checkpoint.latest(tmp_path).progress.round == 1
    assert "round-000002.safetensors is damaged" in caplog.text


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_afresh(tmp_path):
    checkpoint.save(tmp_path, make_checkpoint()).write_bytes(b"")
    with pytest.raises(StateError, match="none of 1 checkpoints can be read"):
        checkpoint.latest(tmp_path)


def test_a_checkpoint_of_another_version_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "_FORMAT", "0")
    checkpoint.save(tmp_path, make_checkpoint())
    monkeypatch.undo()
    with pytest.raises(StateError, match="none of 1"):
        checkpoint.latest(tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoint.save(tmp_path, make_checkpoint(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.open", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, make_checkpoint(2))
    assert checkpoint.latest(tmp_path).progress.round == 1
    assert len(list((tmp_path / FOLDER).iterdir())) == 1


def test_large_arrays_rest_in_their_file_and_small_ones_stay(tmp_path):
    large = np.random.default_rng(0).normal(size=(1 << 16, 2))
    progress = Progress(
        round=1,
        iterate={"table": large.copy(), "bias": np.ones(3)},
        moments={"first": {"table": large + 1}},
        average=Average(1, {"table": large + 2}),
    )
    written = Checkpoint(fingerprint="f", lineage="first", progress=progress)
    checkpoint.save(tmp_path, written)
    resting = checkpoint.Resting(tmp_path, progress)
    resting.moments()
    resting.iterate("table")
    resting.iterate("bias")
    for arrays, added in ((progress.iterate, 0), (progress.moments["first"], 1), (progress.average.mean, 2)):
        assert isinstance(arrays["table"].base, np.memmap)
        np.testing.assert_array_equal(arrays["table"], large + added)
    assert progress.iterate["bias"].base is None


def test_arrays_rest_on_when_their_file_is_replaced_and_removed(tmp_path):
    progress = Progress(round=1, iterate={"table": np.full((1 << 18,), 3.0)})
    written = Checkpoint(fingerprint="f", lineage="first", progress=progress)
    path = checkpoint.save(tmp_path, written)
    checkpoint.Resting(tmp_path, progress).iterate("table")
    checkpoint.save(tmp_path, written)
    path.unlink()
    assert (progress.iterate["table"] == 3.0).all()
