"""What every study reads: files that somebody wrote, original data, seeds."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..experiment import Experiment, load_experiment
from .asked import Asked, Inputs


def of_experiment(asked: Asked) -> Inputs:
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


def comparison(asked: Asked) -> Any:
    """Return a comparison as its own package is asked for it."""
    from ..compare.running import Asked as Comparison

    return Comparison(
        file=asked.file,
        data=asked.data,
        out=asked.out,
        workers=asked.arguments["workers"],
        datasets=tuple(asked.arguments["datasets"]),
        trainings=tuple(asked.arguments["trainings"]),
    )


def of_comparison(asked: Asked) -> Inputs:
    """Return what a comparison reads: its file, and the experiments of its data sets."""
    from ..compare import plan, running

    wanted = running.plan_of(comparison(asked))
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


def of_sweep(asked: Asked) -> Inputs:
    """Return what a sweep reads: its file, and its experiment."""
    from ..sweep import plan

    planned = plan.load(asked.file, data=asked.data)
    own = replace(asked, file=planned.experiment)
    return replace(read := of_experiment(own), files=(asked.file, *read.files), seeds=planned.seeds)


def of_schedule(asked: Asked) -> Inputs:
    """Return what a schedule reads: its file, and its experiment or its contract."""
    from ..schedule import plan

    planned = plan.load(asked.file, data=asked.data)
    seeds = (planned.file.schedule.seed,)
    if planned.experiment is None:
        contract = asked.file.parent / planned.file.schedule.contract
        return Inputs(files=(asked.file, contract), data=(), seeds=seeds, arguments=asked.arguments)
    read = of_experiment(replace(asked, file=planned.experiment))
    return replace(read, files=(asked.file, *read.files), seeds=seeds)


def of_scale(asked: Asked) -> Inputs:
    """Return what a scale study reads: its file, and its contract."""
    from ..scale import plan

    planned = plan.load(asked.file)
    seeds = (planned.scale.seed,)
    return Inputs(files=(asked.file, planned.contract), data=(), seeds=seeds, arguments=asked.arguments)
