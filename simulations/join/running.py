"""The study of one merchant's question, from the experiment to the file of results; goes on if stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from server.reporting.results import Cell, Merchant, Summary
from shared_model import declared
from shared_model.errors import ConfigError

from .. import levels, runner
from ..alone import alone, constant, pooled
from ..comparison import Methods, cells_of, tasks_of
from ..experiment import load_experiment
from ..runner import Progress, Request
from ..runs.environment import environment
from ..scores import Scores
from ..seeds import generator
from ..summary import summarise
from . import federation, verdicts
from .contributions import contributions, left_out
from .costs import cost
from .curve import curve
from .everybody import told_apart
from .gains import CONFIDENCE
from .options import EPSILONS, Options
from .report import Joined, TakingPart
from .study import Study
from .trainings import PRIOR, SERVED, Trainings


def join(request: Request, options: Options, progress: Progress) -> Joined:
    """Measure what joining is worth to a merchant, and what it costs.

    Raises:
        ConfigError: There is no such merchant, an epsilon is not positive, or a contract without privacy is
            to be tried at one.
        FedbazaarError: As `runner.run`.
    """
    torch.set_num_threads(1)
    trainings = _trainings(request, options, progress)
    agreed, here = next(iter(trainings.items()))
    served = {level: one.scores() for level, one in trainings.items()}
    study = _study(here, served[agreed], options.merchant)
    lines = tuple(line for level, found in served.items() for line in study.lines(level, found))
    trainers = [name for name in here.bench.datasets if here.trains(name)]
    out = left_out(trainers, options, seed=here.seeds[0])
    ways = {task.name: task.alone_method for task in study.tasks}
    cells, members = _cells(here, study), runner.merchants(here.bench)
    found = Joined(
        name=here.bench.experiment.experiment.name,
        merchant=options.merchant,
        command=request.command,
        environment=environment(),
        agreed=agreed,
        private=here.bench.federation.privacy is not None,
        confidence=CONFIDENCE,
        seeds=here.seeds,
        answer=verdicts.answer(options.merchant, [line.gain for line in lines if line.level == agreed]),
        sentences=(),
        federation=(),
        tasks=study.tasks,
        merchants=members,
        lines=lines,
        curve=curve(here, options.merchant, options.shares, ways),
        taking_part=_taking_part(here, study),
        costs=tuple(cost(one, options.merchant) for one in trainings.values()),
        like=_like(options.merchant, members, cells, study),
        cells=cells,
        contributions=contributions(here, out),
        left_out=len(out),
        trainers=len(trainers),
    )
    told = federation.sentences(found.cells, found.contributions, seeds=len(found.seeds))
    return replace(found, sentences=verdicts.sentences(found), federation=told)


def _study(here: Trainings, served: Mapping[str, Scores], name: str) -> Study:
    methods = _methods(here, served)
    tasks = tasks_of(here.bench.federation, methods)
    dataset = here.bench.datasets[name]
    return Study(merchant=name, dataset=dataset, tasks=tasks, methods=methods, seed=here.seeds[0])


def _taking_part(here: Trainings, study: Study) -> tuple[TakingPart, ...]:
    """Return nothing for a merchant that only receives anyway."""
    if not here.trains(study.merchant):
        return ()
    return study.taking_part(here.scores(without=study.merchant)[SERVED])


def _like(name: str, members: Sequence[Merchant], cells: Sequence[Cell], study: Study) -> tuple[Summary, ...]:
    """Return what joining is on average to the merchants of one merchant's group."""
    group = next(member.group for member in members if member.name == name)
    found = summarise(cells, members, study.tasks, generator(study.seed, "join", "like"))
    return tuple(line for line in found if line.group == group)


def _cells(here: Trainings, study: Study) -> tuple[Cell, ...]:
    """Return everybody's comparison at the agreed level."""
    bench = here.bench
    cells = cells_of(bench.federation, bench.datasets, study.tasks, study.methods, seed=here.seeds[0])
    return told_apart(cells, study.methods, study.tasks, bench.datasets)


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
    if own is None and options.epsilons:
        raise ConfigError(contract, "privacy", None, "a [privacy] table, whose epsilon --epsilon varies")
    wanted = EPSILONS if options.epsilons is None else options.epsilons
    asked = levels.levels([] if own is None else [own, *wanted], contract)
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
