"""Scores as files, so that a study that was stopped goes on with what it has measured."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from shared_model import files

from .scores import Key, Scores


def kept(path: Path, measure: Callable[[], Mapping[str, Scores]]) -> dict[str, Scores]:
    """Return the named scores in the file at `path`; measure and write them where there is none."""
    if not path.exists():
        _write(path, measure())
    found: dict[str, Scores] = {}
    with np.load(path) as arrays:
        for entry in arrays.files:
            name, merchant, task, split = entry.split("/")
            found.setdefault(name, {})[Key(merchant, task, split)] = arrays[entry]
    return found


def _write(path: Path, named: Mapping[str, Scores]) -> None:
    flat = {"/".join((name, *key)): v for name, scores in named.items() for key, v in scores.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **flat)  # type: ignore[arg-type]
    files.write(path, buffer.getvalue(), durable=False)
