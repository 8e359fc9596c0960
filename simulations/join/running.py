"""The study of one merchant's question, from the experiment to the file of results; goes on if stopped."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from shared_model import declared
from shared_model.errors import ConfigError

from .. import levels, runner
from ..alone import alone, constant, pooled
from ..comparison import Methods, cells_of, tasks_of
from ..experiment import load_experiment
from ..runner import Progress, Request
from ..runs.environment import environment
from ..scores import Scores
from . import verdicts
from .contributions import contributions, left_out
from .costs import cost
from .curve import curve
from .everybody import told_apart
from .gains import CONFIDENCE
from .options import Options
from .report import Joined
from .study import Study
from .trainings import PRIOR, SERVED, Trainings


def join(request: Request, options: Options, progress: Progress) -> Joined:
    """Measure what joining is worth to a merchant, and what it costs.

    Raises:
        ConfigError: There is no such merchant, or an epsilon is not positive.
        FedbazaarError: As `runner.run`.
    """
    torch.set_num_threads(1)
    trainings = _trainings(request, options, progress)
    agreed = next(iter(trainings))
    here = trainings[agreed]
    bench, seeds, name = here.bench, here.seeds, options.merchant
    served = {level: one.scores() for level, one in trainings.items()}
    methods = _methods(here, served[agreed])
    tasks = tasks_of(bench.federation, methods)
    study = Study(merchant=name, dataset=bench.datasets[name], tasks=tasks, methods=methods, seed=seeds[0])
    lines = tuple(line for level, found in served.items() for line in study.lines(level, found))
    out = left_out(bench, options)
    found = Joined(
        name=bench.experiment.experiment.name,
        merchant=name,
        command=request.command,
        environment=environment(),
        agreed=agreed,
        private=bench.federation.privacy is not None,
        confidence=CONFIDENCE,
        seeds=seeds,
        answer=verdicts.answer(name, [line.gain for line in lines if line.level == agreed]),
        sentences=(),
        tasks=tasks,
        merchants=runner.merchants(bench),
        lines=lines,
        curve=curve(here, name, options.shares, {task.name: task.alone_method for task in tasks}),
        taking_part=study.taking_part(here.scores(without=name)[SERVED]),
        costs=tuple(cost(one, name) for one in trainings.values()),
        cells=told_apart(
            cells_of(bench.federation, bench.datasets, tasks, methods, seed=seeds[0]),
            methods,
            tasks,
            bench.datasets,
        ),
        contributions=contributions(here, out),
        left_out=len(out),
    )
    return replace(found, sentences=verdicts.sentences(found))


def _methods(here: Trainings, served: Mapping[str, Scores]) -> Methods:
    return Methods(
        alone=alone(here.bench, here.seeds),
        federated=served[SERVED],
        prior=served[PRIOR],
        pooled=pooled(here.bench, here.seeds),
        constant=constant(here.bench),
    )


def _trainings(request: Request, options: Options, progress: Progress) -> dict[str, Trainings]:
    """Return the trainings of every level, that of the contract as it is first, then less and less noise.

    A contract without `[privacy]` has one level only.
    """
    experiment = load_experiment(request.experiment, data=request.data)
    contract = request.contract or request.experiment.parent / experiment.experiment.contract
    tables = declared.read_toml(contract)
    own = tables.get("privacy", {}).get("epsilon")
    asked = levels.levels([] if own is None else [own, *options.epsilons], contract)
    first = levels.NO_PRIVACY if own is None else f"epsilon {own:g}"
    found = {}
    for level in (first, *(name for name in asked if name != first)):
        out = request.out / level.replace(" ", "-")
        changed = replace(request, out=out, contract=levels.written(tables, asked[level], out))
        bench = runner.prepared(changed, _told(level, progress))
        if options.merchant not in bench.datasets:
            raise ConfigError(
                "fedbazaar-sim join", "--merchant", options.merchant, f"one of {', '.join(bench.datasets)}"
            )
        seeds = experiment.experiment.seeds[: options.seeds]
        found[level] = Trainings(bench=bench, level=level, seeds=seeds)
    return found


def _told(level: str, progress: Progress) -> Progress:
    return lambda stage, done, total: progress(f"{level}: {stage}", done, total)
