"""A file is wholly there or not at all."""

import errno
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shared_model import files
from shared_model.errors import StateError


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.safetensors"
    files.write_tensors(path, {"w": torch.tensor([1.0, 2.0])}, {"round": "3"})
    tensors, metadata = files.read_tensors(path)
    assert metadata == {"round": "3"}
    assert tensors["w"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "kind",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.bool,
    ],
)
def test_every_type_of_numbers_comes_back_bit_for_bit(tmp_path: Path, kind: torch.dtype) -> None:
    path = tmp_path / "state.safetensors"
    written = {
        "odd": torch.tensor([[0, 1, 1], [1, 0, 1]], dtype=kind).T,  # not in row order
        "scalar": torch.tensor(1, dtype=kind),
        "empty": torch.zeros(0, 3, dtype=kind),
    }
    files.write_tensors(path, written, {"name": "Zürich"})
    for found, metadata in (files.read_tensors(path), (load_file(path), {"name": "Zürich"})):
        assert metadata == {"name": "Zürich"}
        assert {n: (t.dtype, t.tolist()) for n, t in found.items()} == {
            n: (t.dtype, t.tolist()) for n, t in written.items()
        }


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "state"
    files.write(path, b"old")
    monkeypatch.setattr(os, call, full_disk)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_real_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full to write to")
    path = tmp_path / "state"
    files.write(path, b"old")
    with pytest.raises(OSError, match="No space left"), files.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        full.write_bytes(b"the other half")
    assert path.read_bytes() == b"old"


def test_two_threads_that_write_the_same_file_do_not_share_a_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with files.replacing(path) as first:
        writer = threading.Thread(target=files.write, args=(path, b"the other one's"))
        writer.start()
        writer.join()
        assert path.read_bytes() == b"the other one's"
        first.write_bytes(b"mine")
    assert path.read_bytes() == b"mine"


def test_a_truncated_file_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    files.write_tensors(path, {"w": torch.ones(1000)}, {})
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(StateError, match="is damaged"):
        files.read_tensors(path)


def test_a_missing_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read_tensors(tmp_path / "state.safetensors")
