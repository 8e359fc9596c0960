"""What ran, and why: one file in the directory of a training."""

import json
from collections.abc import Iterable, Sequence
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


def said(directory: Path) -> tuple[str, ...]:
    """Return in words what `write` left in the directory of a training; nothing where no training did."""
    kinds: dict[tuple[bool, int], list[dict[str, Any]]] = {}
    for one in read(directory):
        kinds.setdefault((one["together"], one["size"]), []).append(one)
    return tuple(_words(together, size, found) for (together, size), found in kinds.items())


def _words(together: bool, size: int, found: Sequence[dict[str, Any]]) -> str:
    least, most = (extreme(one["merchants"] for one in found) for extreme in (min, max))
    reasons = dict.fromkeys(one["reason"].removeprefix(f"{one['merchants']} merchants, ") for one in found)
    first, *others = reasons
    why = first if not others else f"{first}, for instance"
    count = str(least) if least == most else f"{least} to {most}"
    who = f"{count} merchant{'' if most == 1 else 's'}"
    how = f"together, in cohorts of at most {size}" if together else "one after another"
    return f"{who} of a round {how} ({why})"
