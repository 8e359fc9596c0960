"""What stands in a run directory beside its results: `run.json`, and copies of the files it was made from."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from shared_model import declared, files
from shared_model.declared import CLOSED
from shared_model.errors import ConfigError, StateError

FILE, COPIES = "run.json", "inputs"
_FORMAT: Literal[1] = 1
_BLOCK = 2**20


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Input:
    """A file that somebody wrote for this run; it is copied.

    Attributes:
        name: Of the copy, inside `inputs/`.
        path: Of the original.
        sha256: Of its bytes.
    """

    name: str
    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Data:
    """A file of original data; it is not copied."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, config=CLOSED)
class Manifest:
    """All of `run.json`.

    Attributes:
        format: Version of the file.
        study: Name in `studies.STUDIES`.
        command: That began the run, for people.
        arguments: What the study was asked for, besides its file.
        file: Name of the copy of the study's own file; the first of `inputs`.
        inputs: The copies.
        data: Original data that were read.
        seeds: Of everything that was drawn.
        environments: What computed the run, one for every version or machine that worked on it.
        mixed: What was changed while the run was going on, in words; such a run cannot be made again.
        results: Result file -> SHA-256 of its canonical form (`results.canonical`); empty until the end.
    """

    format: Literal[1] = _FORMAT
    study: str
    command: str
    arguments: dict[str, Any]
    file: str
    inputs: tuple[Input, ...]
    data: tuple[Data, ...] = ()
    seeds: tuple[int, ...] = ()
    environments: tuple[dict[str, str], ...]
    mixed: tuple[str, ...] = ()
    results: dict[str, str] = Field(default_factory=dict)

    def copies(self, directory: Path) -> Path:
        """Return the copy of the study's own file in a run directory."""
        return directory / COPIES / self.file


def write(manifest: Manifest, directory: Path) -> None:
    """Replace the manifest of a run directory, wholly or not at all."""
    files.write(directory / FILE, json.dumps(asdict(manifest), indent=1).encode(), durable=False)


def read(directory: Path) -> Manifest:
    """Return the manifest of a run directory.

    Raises:
        ConfigError: It is not a run directory.
        StateError: Its manifest is damaged or of another version.
    """
    path = directory / FILE
    if not path.exists():
        raise ConfigError(path, "", None, "a run directory, which the studies of `fedbazaar-sim` make")
    try:
        return declared.parse(Manifest, json.loads(path.read_text(encoding="utf-8")), file=path)
    except (ValueError, ConfigError) as error:
        raise StateError(f"{path} is damaged or of another version ({error}).") from None


def inputs_of(paths: Iterable[Path]) -> tuple[Input, ...]:
    """Return files as inputs; their names keep how they lie to one another, so relative paths still lead."""
    found = [Path(os.path.normpath(path.absolute())) for path in paths]
    top = os.path.commonpath([path.parent for path in found])
    return tuple(
        Input(name=str(path.relative_to(top)), path=str(path), sha256=hash_of(path))
        for path in dict.fromkeys(found)
    )


def data_of(places: Iterable[Path]) -> tuple[Data, ...]:
    """Return every file below some folders, and files that are named themselves."""
    found = (path for place in places for path in (place, *place.rglob("*")))
    paths = sorted({path.absolute() for path in found if path.is_file()})
    return tuple(Data(path=str(p), bytes=p.stat().st_size, sha256=hash_of(p)) for p in paths)


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what differs between two environments: name -> before and now, `-` where it is not there.

    >>> changed({"torch": "2.9", "numpy": "2.1"}, {"torch": "2.10", "numpy": "2.1"})
    {'torch': ('2.9', '2.10')}
    """
    names = dict.fromkeys((*before, *now))
    both = {name: (before.get(name, "-"), now.get(name, "-")) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}
