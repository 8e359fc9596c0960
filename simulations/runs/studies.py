"""What can be run, kept and made again: one row of a table each.

A study is a function of its file, its arguments and a directory. It goes on where it stopped when it is
called again with the same directory, and writes its results there.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shared_model import files

from ..backends import Backend
from ..experiment import Experiment, load_experiment
from ..runner import Progress, Request

TRAININGS = ("*/checkpoints/*.safetensors", "*/*/checkpoints/*.safetensors")
"""The last checkpoints of all trainings, which hold the released arrays."""


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


def inputs_of_experiment(asked: Asked) -> Inputs:
    """Return what an experiment reads: its file, its contract, the data of its market.

    Raises:
        ConfigError: A file is missing, or says something that is not allowed.
    """
    loaded = load_experiment(asked.file, data=asked.data)
    folder = data_folder(loaded, asked.file)
    return Inputs(
        files=(asked.file, *contracts_of(loaded, asked.file)),
        data=data_of(loaded, asked.file),
        seeds=loaded.experiment.seeds,
        arguments={**asked.arguments, "data": str(folder) if folder else None},
    )


def contracts_of(experiment: Experiment, file: Path) -> tuple[Path, ...]:
    """Return the contracts that an experiment reads: its own, and the one that its market is made over."""
    named = (experiment.experiment.contract, getattr(experiment.market, "contract", ""))
    return tuple(file.parent / name for name in dict.fromkeys(named) if name)


def data_of(experiment: Experiment, file: Path) -> tuple[Path, ...]:
    """Return the folder or the file of original data that an experiment's market reads, if any."""
    folder = data_folder(experiment, file)
    return (folder / getattr(experiment.market, "file", ""),) if folder else ()


def data_folder(experiment: Experiment, file: Path) -> Path | None:
    """Return the folder that an experiment's market reads; None where it is made up."""
    named = getattr(experiment.market, "directory", "")
    return Path(os.path.normpath((file.parent / named).absolute())) if named else None


def _run(asked: Asked, progress: Progress) -> Any:
    from .. import runner

    return runner.run(asked.request, progress)


def _frontier(asked: Asked, progress: Progress) -> Any:
    from .. import frontier, frontier_page

    found = frontier.frontier(asked.request, asked.arguments["epsilons"], progress)
    frontier.write(found, asked.out / "frontier.json")
    frontier_page.write_page(found, asked.out / "frontier.html")
    return found


def _transfer(asked: Asked, progress: Progress) -> Any:
    from ..transfer import curves_page, leaving_out

    options = leaving_out.Options(**{name: asked.arguments[name] for name in ("folds", "merchants", "seeds")})
    found = leaving_out.transfer(asked.request, options, progress)
    leaving_out.write(found, asked.out / "transfer.json")
    curves_page.write_page(found, asked.out / "transfer.html")
    return found


def _matrix(asked: Asked, progress: Progress) -> Any:
    from ..transfer import matrix, matrix_page

    found = matrix.matrix(asked.request, asked.arguments["by"], asked.arguments["seeds"], progress)
    matrix.write(found, asked.out / "matrix.json")
    matrix_page.write_page(found, asked.out / "matrix.html")
    return found


def _join(asked: Asked, progress: Progress) -> Any:
    from ..join import page, report, running
    from ..join.options import Options

    named = {name: asked.arguments[name] for name in ("merchant", "contributions", "seeds")}
    options = Options(**named, epsilons=tuple(asked.arguments["epsilons"]))
    found = running.join(asked.request, options, progress)
    report.write(found, asked.out / "join.json")
    page.write_page(found, asked.out / "join.html")
    return found


def _compare(asked: Asked, progress: Progress) -> Any:
    from ..compare import running, table
    from ..compare.page import page

    wanted = _comparison(asked)
    running.run(wanted, progress)
    found = table.results(wanted, asked.command)
    table.write(found, asked.out / "compare.json")
    written = page(running.plan_of(wanted), found)
    files.write(asked.out / "results.md", written.encode(), durable=False)
    return written


def _comparison(asked: Asked) -> Any:
    from ..compare.running import Asked as Comparison

    return Comparison(
        file=asked.file,
        data=asked.data,
        out=asked.out,
        workers=asked.arguments["workers"],
        datasets=tuple(asked.arguments["datasets"]),
        trainings=tuple(asked.arguments["trainings"]),
    )


def _inputs_of_comparison(asked: Asked) -> Inputs:
    from ..compare import plan, running

    wanted = running.plan_of(_comparison(asked))
    written: list[Path] = [asked.file]
    read: list[Path] = []
    for dataset in wanted.dataset:
        experiment = plan.experiment_of(dataset, asked.file.parent, asked.data)
        own = asked.file.parent / dataset.experiment
        written += [own, *contracts_of(experiment, own)]
        read += data_of(experiment, own)
    kept = str(asked.data.absolute()) if asked.data else None
    return Inputs(
        files=tuple(written),
        data=tuple(dict.fromkeys(read)),
        seeds=wanted.comparison.seeds,
        arguments={**asked.arguments, "data": kept},
    )


def _sweep(asked: Asked, progress: Progress) -> Any:
    from ..sweep import page, plan, running, table

    planned = plan.load(asked.file, data=asked.data)
    running.run(planned, asked.out, workers=asked.arguments["workers"], progress=progress)
    found = table.results(planned, asked.out, asked.command)
    table.write(found, asked.out)
    page.write_page(found, asked.out / "sweep.html")
    return found


def _inputs_of_sweep(asked: Asked) -> Inputs:
    from ..sweep import plan

    planned = plan.load(asked.file, data=asked.data)
    own = replace(asked, file=planned.experiment)
    return replace(read := inputs_of_experiment(own), files=(asked.file, *read.files), seeds=planned.seeds)


def _schedule(asked: Asked, progress: Progress) -> Any:
    from ..schedule import page, plan, table, training

    planned = plan.load(asked.file, data=asked.data)
    training.run_all(planned, asked.file, asked.data, asked.out, asked.arguments["workers"], progress)
    found = table.results(planned, asked.out, asked.command, progress)
    table.write(found, asked.out / "schedule.json")
    page.write_page(found, asked.out / "schedule.html")
    return found


def _inputs_of_schedule(asked: Asked) -> Inputs:
    from ..schedule import plan

    planned = plan.load(asked.file, data=asked.data)
    seeds = (planned.file.schedule.seed,)
    if planned.experiment is None:
        contract = asked.file.parent / planned.file.schedule.contract
        return Inputs(files=(asked.file, contract), data=(), seeds=seeds, arguments=asked.arguments)
    read = inputs_of_experiment(replace(asked, file=planned.experiment))
    return replace(read, files=(asked.file, *read.files), seeds=seeds)


def _scale(asked: Asked, progress: Progress) -> Any:
    from ..scale import page, plan

    planned = plan.load(asked.file)
    found = page.run(planned, asked.file, asked.out, asked.command, progress)
    page.write(found, asked.out / "scale.json")
    page.write_page(found, asked.out / "scale.html")
    return found


def _inputs_of_scale(asked: Asked) -> Inputs:
    from ..scale import plan

    planned = plan.load(asked.file)
    seeds = (planned.scale.seed,)
    return Inputs(files=(asked.file, planned.contract), data=(), seeds=seeds, arguments=asked.arguments)


STUDIES: dict[str, Study] = {
    "run": Study(perform=_run, inputs=inputs_of_experiment, results=("result.json", *TRAININGS)),
    "frontier": Study(
        perform=_frontier,
        inputs=inputs_of_experiment,
        results=("frontier.json", "*/result.json", *TRAININGS),
    ),
    "transfer": Study(
        perform=_transfer,
        inputs=inputs_of_experiment,
        results=("transfer.json", "**/measured.json", *TRAININGS),
    ),
    "matrix": Study(
        perform=_matrix,
        inputs=inputs_of_experiment,
        results=("matrix.json", "alone/*.npz", "matrix/**/*.npz"),
    ),
    "join": Study(perform=_join, inputs=inputs_of_experiment, results=("join.json", "**/*.npz", *TRAININGS)),
    "compare": Study(
        perform=_compare,
        inputs=_inputs_of_comparison,
        results=("compare.json", "predictions/**/*.npz", "truth/**/*.npz"),
    ),
    "scale": Study(perform=_scale, inputs=_inputs_of_scale, results=("scale.json", "sizes/*.json")),
    "schedule": Study(
        perform=_schedule, inputs=_inputs_of_schedule, results=("schedule.json", "trained/*/curve.json")
    ),
    "sweep": Study(
        perform=_sweep, inputs=_inputs_of_sweep, results=("sweep.json", "sweep.csv", "points/*/*.npz")
    ),
}
"""Name, as in `fedbazaar-sim NAME` -> how it is run."""
