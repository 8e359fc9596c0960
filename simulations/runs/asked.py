"""What a study is asked for, and what it reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backends import Backend
from ..runner import Progress, Request


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a study is called with.

    Attributes:
        study: A key of `STUDIES`.
        file: That the user wrote for it.
        out: The run directory.
        arguments: JSON values, by the names of the command's options; `data` is a folder or None.
        command: For people.
    """

    study: str
    file: Path
    out: Path
    arguments: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""

    @property
    def data(self) -> Path | None:
        """Folder of original data, where one was named."""
        named = self.arguments.get("data")
        return Path(named) if named else None

    @property
    def request(self) -> Request:
        """The same for studies of one experiment."""
        backend = Backend(**self.arguments.get("backend", {}))
        return Request(
            experiment=self.file, data=self.data, out=self.out, command=self.command, backend=backend
        )


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a study will read.

    Attributes:
        files: That somebody wrote; the study's own is the first.
        data: Folders and files of original data.
        seeds: It will use.
        arguments: As they are kept; paths in them are absolute.
    """

    files: tuple[Path, ...]
    data: tuple[Path, ...]
    seeds: tuple[int, ...]
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """One kind of run.

    Attributes:
        perform: Runs it; what it returns is for whoever prints.
        inputs: Says what it reads, before it is run.
        results: Patterns of the files that hold its results, inside the run directory.
    """

    perform: Callable[[Asked, Progress], Any]
    inputs: Callable[[Asked], Inputs]
    results: tuple[str, ...]
