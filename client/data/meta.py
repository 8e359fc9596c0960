"""What `meta.json` says about an encoded dataset, beside its arrays."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .reading import TableReading, TaskStatus

FILE = "meta.json"


@dataclass(frozen=True, kw_only=True)
class Meta:
    """About an encoded dataset.

    Attributes:
        kinds: Row kinds; the array `kind` holds positions in it.
        rows_of: Task to row kind.
        catalogues: Retrieval task to item ids, most sold first.
        status: Wanted task to whether it is on.
        readings: What was read.
        early: Task to number of labels that were known before the moment of their row.
        bounds: First moment of validation and of test, ISO 8601; empty where rows have no time.
        slots: Row kind to the slots that its rows fill.
    """

    kinds: tuple[str, ...]
    rows_of: Mapping[str, str]
    catalogues: Mapping[str, tuple[str, ...]]
    status: Mapping[str, TaskStatus]
    readings: tuple[TableReading, ...]
    early: Mapping[str, int]
    bounds: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]]


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `meta.json` last, with the sizes of all other files."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    (folder / FILE).write_text(json.dumps({"meta": facts, "sizes": sizes}), encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """Whether every file that `meta.json` lists is there with its size."""
    try:
        sizes: Mapping[str, int] = json.loads((folder / FILE).read_text(encoding="utf-8"))["sizes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def facts(folder: Path) -> dict[str, Any]:
    """Return what `write` wrote."""
    found: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))["meta"]
    return found


def read(folder: Path) -> Meta:
    """Return what is known about a dataset."""
    found = facts(folder)
    return Meta(
        kinds=tuple(found["kinds"]),
        rows_of=found["rows_of"],
        catalogues={task: tuple(items) for task, items in found["catalogues"].items()},
        status={task: TaskStatus(**status) for task, status in found["status"].items()},
        readings=tuple(TableReading(**{**r, "notes": tuple(r["notes"])}) for r in found["readings"]),
        early=found["early"],
        bounds=tuple(found["bounds"]),
        slots={kind: tuple(slots) for kind, slots in found["slots"].items()},
    )
