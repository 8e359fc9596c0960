"""One experiment from beginning to end: market, merchants' folders, federations, baselines, result, report.

A run is a directory, and everything it was made from lies in it. It is continued after a crash by running it
again: folders that are written are not written again, and a federation goes on after its last checkpoint
(`tests/integration/test_resume.py`).
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from client.data.dataset import Dataset
from client.private.ledgers import ledger_file
from server.coordinator import RoundSummary
from server.reporting import results
from server.reporting.html import write_report
from shared_model import files, schema
from shared_model.errors import ConfigError
from shared_model.privacy.ledger import Limit, read_charges
from shared_model.privacy.limits import spent
from shared_model.protocol import SharedArrays

from . import baselines, facts, federated, history, partition, pooling, scores
from .backends import IN_PROCESS, Backend, Train, train_on
from .comparison import Methods, cells_of, tasks_of
from .datasets import read
from .experiment import Experiment, load_experiment
from .federated import Site
from .market import Market
from .runs.environment import environment
from .scores import Scores, averaged, merged
from .seeds import generator
from .summary import ALL, summarise
from .targets import Measured, checked
from .vectorised import report

Progress = Callable[[str, int, int], None]
"""Is told of a stage, how many of its steps are done, and how many there are."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run.

    Attributes:
        experiment: The experiment file.
        data: Folder of the market's original data; None for the one in the experiment file.
        out: The run directory.
        command: That repeats the run, for the report.
        backend: Where the merchants work.
        contract: Instead of the one that the experiment file names.
        networks: Instead of the experiment's own `baselines.networks`.
    """

    experiment: Path
    data: Path | None
    out: Path
    command: str = ""
    backend: Backend = IN_PROCESS
    contract: Path | None = None
    networks: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Everything that the stages of one run read.

    Attributes:
        experiment: As its file says.
        market: Who sells.
        site: Where contract and merchants' files lie.
        federation: The contract.
        datasets: Encoded rows by merchant.
        train: Trains a federation.
        out: The run directory.
        progress: Is told of every stage.
    """

    experiment: Experiment
    market: Market
    site: Site
    federation: schema.Federation
    datasets: Mapping[str, Dataset]
    train: Train
    out: Path
    progress: Progress


def run(request: Request, progress: Progress) -> results.Result:
    """Run an experiment; write `result.json` and `report.html` into its directory.

    Raises:
        FedbazaarError: A file says something that is not allowed, data are missing, or a federation stopped.
    """
    began = time.monotonic()
    torch.set_num_threads(1)
    bench = prepared(request, progress)
    seeds, federation = bench.experiment.experiment.seeds, bench.federation
    released = {seed: _trained(bench, seed) for seed in seeds}
    methods = _methods(bench, released)
    tasks = tasks_of(federation, methods)
    cells = cells_of(federation, bench.datasets, tasks, methods, seed=seeds[0])
    members = merchants(bench)
    summary = summarise(cells, members, tasks, generator(seeds[0], "summary"))
    measured = Measured(
        cells=cells,
        summary=summary,
        group_of={m.name: m.group for m in members},
        newcomers=_newcomers(bench, tasks, methods),
    )
    result = results.Result(
        name=bench.experiment.experiment.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 1),
        command=request.command,
        environment=environment(),
        privacy=facts.privacy(federation, _spent(bench)),
        contract=facts.contract(federation, trainers(bench)),
        seeds=seeds,
        merchants=members,
        tasks=tasks,
        cells=cells,
        summary=summary,
        rounds=history.rounds(_directory(bench, seeds[0])),
        checks=checked(bench.experiment.target, measured),
        engine=report.said(_directory(bench, seeds[0])),
    )
    results.write(result, request.out / "result.json")
    write_report(result, request.out / "report.html")
    return result


def prepared(request: Request, progress: Progress) -> Bench:
    """Read the market, write the merchants' folders and encode them (errors as in `run`)."""
    train = train_on(request.backend)
    experiment = load_experiment(request.experiment, data=request.data)
    if request.networks is not None:
        experiment = replace(experiment, baselines=replace(experiment.baselines, networks=request.networks))
    folder = request.experiment.parent
    contract = _copied_contract(request.contract or folder / experiment.experiment.contract, request.out)
    federation = schema.load_federation(contract)
    market = read(experiment.market, folder)
    _check_names(request.experiment, experiment, market, federation)
    progress("merchants' files", 0, 1)
    written = partition.write(market, request.out / "merchants")
    progress("merchants' files", 1, 1)
    site = Site(contract=contract, merchants=dict(zip(market.merchants, written, strict=True)))
    datasets = {}
    for done, name in enumerate(market.merchants):
        progress("encoding", done, len(market.merchants))
        datasets[name] = site.merchant(name, experiment.experiment.seeds[0]).dataset
    progress("encoding", len(datasets), len(datasets))
    return Bench(
        experiment=experiment,
        market=market,
        site=site,
        federation=federation,
        datasets=datasets,
        train=train,
        out=request.out,
        progress=progress,
    )


def _check_names(file: Path, experiment: Experiment, market: Market, federation: schema.Federation) -> None:
    """Refuse names of merchants, tasks and groups that do not exist, before hours are spent on them."""
    groups = {ALL, *(tables.group or tables.tier for tables in market.merchants.values())}
    asked = [
        ("experiment.newcomers", name, list(market.merchants)) for name in experiment.experiment.newcomers
    ]
    asked += [(f"target.{t.id}.task", t.task, list(federation.tasks)) for t in experiment.target if t.task]
    asked += [(f"target.{t.id}.group", t.group, sorted(groups)) for t in experiment.target]
    for key, name, known in asked:
        if name not in known:
            raise ConfigError(file, key, name, f"one of {', '.join(known)}")


def _copied_contract(original: Path, out: Path) -> Path:
    """Copy the contract into the run directory; refuse a directory that holds a run of another one."""
    copy = out / "federation.toml"
    asked = schema.load_federation(original)
    if copy.exists() and schema.load_federation(copy).fingerprint != asked.fingerprint:
        allowed = f"the contract that {out} was begun with; give another directory with --out"
        raise ConfigError(original, "", "another contract", allowed)
    files.write(copy, original.read_bytes(), durable=False)
    return copy


def _spent(bench: Bench) -> list[float]:
    """Return the epsilon that the first training cost, by the ledger of every merchant that has one."""
    policy = bench.federation.privacy
    if policy is None:
        return []
    limit = Limit(policy.epsilon, policy.delta, bench.federation.fingerprint)
    seed, lineage = (
        bench.experiment.experiment.seeds[0],
        _lineage(bench, bench.experiment.experiment.seeds[0]),
    )
    folders = [bench.site.merchant(name, seed).config.ledger for name in bench.market.merchants]
    files = [ledger_file(folder, seed=seed, lineage=lineage) for folder in folders]
    return [spent(read_charges(file), limit) for file in files if file.exists()]


def _trained(bench: Bench, seed: int) -> SharedArrays:
    """Train the federation with one seed; with the first one, look now and then at its validation loss."""
    plan, planned = bench.experiment.experiment, bench.federation.federation.rounds
    directory = _directory(bench, seed)

    def due(number: int) -> bool:
        return seed == plan.seeds[0] and (number % plan.validate_every == 0 or number in (1, planned))

    def losses(arrays: SharedArrays) -> dict[str, float | None]:
        return federated.validation_losses(bench.federation, bench.datasets, arrays)

    with history.recorded(directory, losses, due) as record:

        def on_round(summary: RoundSummary) -> None:
            record(summary)
            bench.progress(f"federation, seed {seed}", summary.round, planned)

        return bench.train(
            bench.site, directory=directory, lineage=_lineage(bench, seed), seed=seed, on_round=on_round
        )


def _directory(bench: Bench, seed: int) -> Path:
    return bench.out / f"seed-{seed}"


def _lineage(bench: Bench, seed: int) -> str:
    return f"{bench.experiment.experiment.name}-{seed}"


def _methods(bench: Bench, released: Mapping[int, SharedArrays]) -> Methods:
    """Score everything that is compared."""
    seeds, contract, datasets = tuple(released), bench.federation, bench.datasets
    bench.progress("alone, linear", 0, 1)
    alone = {"linear": baselines.linear(contract, datasets)}
    bench.progress("alone, linear", 1, 1)
    if bench.experiment.baselines.networks:
        alone |= {name: averaged([networks(bench, name, s) for s in seeds]) for name in NETWORKS}
    alone |= scores.floors(datasets)
    served = []
    for done, seed in enumerate(seeds):
        bench.progress("adopting", done, len(seeds))
        merchants = {name: bench.site.merchant(name, seed) for name in datasets}
        served.append(federated.served_scores(merchants, released[seed], _lineage(bench, seed)))
    bench.progress("adopting", len(seeds), len(seeds))
    return Methods(
        alone=alone,
        federated=averaged(served),
        prior=averaged([federated.prior_scores(contract, datasets, released[s]) for s in seeds]),
        pooled=averaged([pooled(bench, seed) for seed in seeds]),
        constant=merged([scores.constant_scores(n, d, "test") for n, d in datasets.items()]),
    )


NETWORKS = {"single-task network": baselines.single_task, "multi-task network": baselines.multi_task}
"""Kind of network that a merchant may train alone -> how."""


def networks(bench: Bench, method: str, seed: int) -> Scores:
    """Train one kind of network alone at every merchant."""
    parts = []
    for done, (name, dataset) in enumerate(bench.datasets.items()):
        bench.progress(f"alone, {method}, seed {seed}", done, len(bench.datasets))
        parts.append(network(bench, method, name, dataset, seed))
    bench.progress(f"alone, {method}, seed {seed}", len(parts), len(parts))
    return merged(parts)


def network(bench: Bench, method: str, name: str, dataset: Dataset, seed: int) -> Scores:
    """Train one kind of network on one merchant's rows."""
    source = torch.Generator().manual_seed(int(generator(seed, method, name).integers(2**62)))
    return NETWORKS[method](bench.federation, name, dataset, bench.experiment.baselines, source)


def pooled(bench: Bench, seed: int) -> Scores:
    """Train on everybody's rows in one place."""
    bench.progress(f"pooled, seed {seed}", 0, 1)
    source = torch.Generator().manual_seed(int(generator(seed, "pooled").integers(2**62)))
    found = pooling.pooled(bench.federation, bench.datasets, bench.experiment.baselines, source)
    bench.progress(f"pooled, seed {seed}", 1, 1)
    return found


def _newcomers(bench: Bench, tasks: tuple[results.Task, ...], methods: Methods) -> tuple[results.Cell, ...]:
    """Train once without the newcomers; return their cells with what they are then served as `prior`."""
    names = bench.experiment.experiment.newcomers
    if not names:
        return ()
    seed = bench.experiment.experiment.seeds[0]
    planned = bench.federation.federation.rounds
    arrays = bench.train(
        bench.site,
        directory=bench.out / "without-newcomers",
        lineage=f"{bench.experiment.experiment.name}-without-newcomers",
        seed=seed,
        receivers=names,
        on_round=lambda summary: bench.progress("federation without newcomers", summary.round, planned),
    )
    datasets = {name: bench.datasets[name] for name in names}
    first_day = federated.prior_scores(bench.federation, datasets, arrays)
    seen = Methods(
        alone=methods.alone,
        federated=methods.federated,
        prior=first_day,
        pooled=methods.pooled,
        constant=methods.constant,
    )
    return cells_of(bench.federation, datasets, tasks, seen, seed=seed)


def merchants(bench: Bench) -> tuple[results.Merchant, ...]:
    """Return size, tier and group of every merchant."""
    seed = bench.experiment.experiment.seeds[0]
    return tuple(
        facts.merchant(name, tables, bench.site.merchant(name, seed).describe().tier, bench.datasets[name])
        for name, tables in bench.market.merchants.items()
    )


def trainers(bench: Bench, *, without: Collection[str] = ()) -> int:
    """Return how many merchants train, where some only receive whatever their tier."""
    tiers = bench.federation.tiers
    return sum(tiers[m.tier].role == "train" for m in merchants(bench) if m.name not in without)
