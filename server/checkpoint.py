"""Where a run stands, on disk: enough to go on as if it had never stopped.

Guarantees:
    * A checkpoint is wholly there or not there at all (`shared_model.files`).
    * What is read back is bit for bit what was written: float64 stays float64.
    (`tests/server/test_checkpoint.py`)
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from shared_model import files, protocol
from shared_model.errors import StateError

from . import optimizers
from .aggregation import Arrays
from .averaging import Average

FOLDER = "checkpoints"
_FORMAT = "1"

_LARGE = 1 << 20
"""Bytes from which on an array rests in its file."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Everything that a round changes.

    Attributes:
        round: Last completed round; 0 before the first.
        iterate: The shared arrays, float64.
        moments: State of the server optimizer.
        average: Mean of late iterates.
        answered: Name of a member -> the last round for which its answer was used.
        ledgers: Name of a member -> head of its ledger that came with that answer (`protocol.Answer`).
    """

    round: int
    iterate: Arrays
    moments: optimizers.State = field(default_factory=dict)
    average: Average = field(default_factory=Average)
    answered: Mapping[str, int] = field(default_factory=dict)
    ledgers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A progress and the run it belongs to (names as in `protocol.Instruction`)."""

    fingerprint: str
    lineage: str
    progress: Progress


def save(directory: Path, checkpoint: Checkpoint, *, keep: int = 2, durable: bool = True) -> Path:
    """Write `checkpoint` into the run directory and remove all but the last `keep`.

    Returns:
        The file that was written.

    Raises:
        OSError: The disk is full or not writable; earlier checkpoints are as they were.
    """
    progress = checkpoint.progress
    path = _file(directory, progress)
    metadata = {
        "format": _FORMAT,
        "protocol": str(protocol.VERSION),
        "round": str(progress.round),
        "fingerprint": checkpoint.fingerprint,
        "lineage": checkpoint.lineage,
        "averaged": str(progress.average.count),
        "answered": json.dumps(dict(progress.answered)),
        "ledgers": json.dumps(dict(progress.ledgers)),
    }
    files.write_tensors(path, _tensors(progress), metadata, durable=durable)
    for old in _newest_first(directory)[keep:]:
        old.unlink()
    return path


class Resting:
    """Lets the large arrays of a progress rest in the file that `save` wrote of it.

    Between two server steps nobody looks at them, so a process need not hold them while merchants train.
    """

    def __init__(self, directory: Path, progress: Progress) -> None:
        """Find the file of `progress`."""
        self._path, self._groups = _file(directory, progress), _groups(progress)

    def iterate(self, name: str) -> None:
        """Let one array of the iterate rest."""
        self._rest("iterate", [name])

    def moments(self) -> None:
        """Let everything rest that is not the iterate."""
        for group in self._groups.keys() - {"iterate"}:
            self._rest(group, list(self._groups[group]))

    def _rest(self, group: str, names: Iterable[str]) -> None:
        arrays = self._groups[group]
        large = {f"{group}/{name}": name for name in names if arrays[name].nbytes >= _LARGE}
        if large:
            found = files.mapped(self._path, large)
            arrays.update({name: found[key] for key, name in large.items()})


def latest(directory: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run directory that can be read, or None where there is none.

    A damaged file is skipped with a warning.

    Raises:
        StateError: There are checkpoints, but none can be read.
    """
    paths = _newest_first(directory)
    for path in paths:
        try:
            return _read(path)
        except StateError as error:
            logger.warning("checkpoint skipped, the one before it is used: %s", error)
    if paths:
        raise StateError(
            f"{directory / FOLDER}: none of {len(paths)} checkpoints can be read. Restore one from a copy, "
            "or remove the run directory to start afresh under a new lineage."
        )
    return None


def _file(directory: Path, progress: Progress) -> Path:
    return directory / FOLDER / f"round-{progress.round:06d}.safetensors"


def _newest_first(directory: Path) -> list[Path]:
    return sorted((directory / FOLDER).glob("round-*.safetensors"), reverse=True)


def _read(path: Path) -> Checkpoint:
    tensors, metadata = files.read_tensors(path)
    if (metadata.get("format"), metadata.get("protocol")) != (_FORMAT, str(protocol.VERSION)):
        raise StateError(f"{path} was written by another version. Continue the run with that version.")
    try:
        average = Average(int(metadata["averaged"]), _under("average", tensors))
        progress = Progress(
            round=int(metadata["round"]),
            iterate=_under("iterate", tensors),
            moments={kind: found for kind in ("first", "second") if (found := _under(kind, tensors))},
            average=average,
            answered=json.loads(metadata["answered"]),
            ledgers=json.loads(metadata["ledgers"]),
        )
        return Checkpoint(fingerprint=metadata["fingerprint"], lineage=metadata["lineage"], progress=progress)
    except (KeyError, ValueError) as error:
        raise StateError(f"{path} is damaged ({error!r}). Restore it from a copy.") from error


def _tensors(progress: Progress) -> dict[str, Tensor]:
    return {
        f"{group}/{name}": torch.from_numpy(array)
        for group, arrays in _groups(progress).items()
        for name, array in arrays.items()
    }


def _groups(progress: Progress) -> dict[str, Arrays]:
    return {"iterate": progress.iterate, "average": progress.average.mean, **progress.moments}


def _under(group: str, tensors: Mapping[str, Tensor]) -> Arrays:
    prefix = f"{group}/"
    return {name.removeprefix(prefix): t.numpy() for name, t in tensors.items() if name.startswith(prefix)}
