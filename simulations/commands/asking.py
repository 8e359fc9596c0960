"""What commands share: options, progress, and how a study is asked for."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from .. import backends
from ..engines import Engine
from ..runner import Progress
from ..runs import recording
from ..runs.asked import Asked
from .console import errors
from .shown import SHOWN

Data = Annotated[
    Path | None,
    typer.Option(help="Folder of the market's original data (docs/datasets.md).", file_okay=False),
]
Out = Annotated[Path | None, typer.Option(help="Run directory; a new one under runs/ by default.")]
On = Annotated[backends.Name, typer.Option("--backend", help="Merchants work in this process, or on Ray.")]
By = Annotated[Engine, typer.Option("--engine", help="Merchants train one after another, or together.")]
Cpus = Annotated[int, typer.Option(min=1, help="Ray only: processors that one worker occupies.")]
Workers = Annotated[int, typer.Option(min=1, help="Trainings at a time.")]
ExperimentFile = Annotated[Path, typer.Argument(help="The experiment's TOML file.")]


def study(
    name: str, file: Path, out: Path | None, arguments: Mapping[str, Any], *, prefix: str | None = None
) -> Any:
    """Run a study in `out`, or in a new directory under runs/; print what came of it, and return it."""
    begins = f"{name}-" if prefix is None else prefix
    directory = out or Path("runs") / f"{begins}{file.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    kept = {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()}
    return perform(Asked(study=name, file=file, out=directory, arguments=kept, command=_command()))


def perform(asked: Asked) -> Any:
    """Run what is asked; print what came of it, and return it."""
    with progress_bars() as progress:
        found = recording.perform(asked, progress)
    SHOWN[asked.study](found, asked.out)
    return found


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show one bar per stage that has begun."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[str, TaskID] = {}
    with Bars(*columns, console=errors) as shown:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = shown.add_task(stage, total=total)
            shown.update(bars[stage], completed=done, total=total)

        yield progress


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
