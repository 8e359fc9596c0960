"""What ran, and why: one file in the directory of a training."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared_model import files

from .grid import Ran

ENGINE = "engine.json"
"""In the directory of a training: one entry per structure of merchants and number of them in a round."""


def write(directory: Path, ran: Iterable[Ran]) -> None:
    """Leave in `directory` how merchants trained.

    Raises:
        OSError: The disk is full or not writable.
    """
    found = [{"merchants": r.merchants, **asdict(r.choice)} for r in ran]
    if found:  # nothing where a finished training was only read again
        files.write(directory / ENGINE, json.dumps(found, indent=1).encode(), durable=False)


def read(directory: Path) -> list[dict[str, Any]]:
    """Return what `write` left; nothing where no training did."""
    file = directory / ENGINE
    found: list[dict[str, Any]] = json.loads(file.read_bytes()) if file.exists() else []
    return found
