"""Leave one merchant out: what is a merchant that joins after the training served, as its orders come in?

The federation trains without a merchant. For n = 0, 25, 50, ... of that merchant's first orders it is then
warm-started (the released model, with serving heads fitted on these orders alone) and compared with what it
could do alone with the same orders: the strongest of linear models and networks, chosen task by task and n by
n on validation rows. All are judged on the same test rows.

Not every merchant gets a federation of its own: merchants are dealt into folds, and each fold's merchants are
left out together. So a federation is a few merchants smaller than it would be, which is to its disadvantage.
Alone stops training, and is chosen, by all of the merchant's validation rows, however few orders it has; that
is to its advantage.

A stopped run goes on: federations from their checkpoints, finished folds from their files.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from client import serving_heads
from client.alone import PENALTIES, untrained_linear_model
from client.data.dataset import Dataset
from client.data.examples import Split
from client.merchant_file import Serving
from client.personalization.fine_tuning import personal as fine_tuned
from client.personalization.start import Start
from server.reporting import wording
from shared_model import files
from shared_model.heads import measure_of
from shared_model.model import MultiTaskModel, build
from shared_model.parameters import from_arrays
from shared_model.protocol import SharedArrays

from .. import baselines, facts, runner
from ..baselines import learnable
from ..first_orders import orders_of, with_first_orders
from ..runner import Bench, Request
from ..runs.environment import environment
from ..scores import Key, Scores, scores_of
from ..seeds import generator
from .curves import ALL_ORDERS, Measured, Transfer, summarised

COUNTS = (0, 25, 50, 100, 200)
FOLDS = 8
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the left-out merchants are measured.

    Attributes:
        folds: Federations a seed; the merchants of one fold are left out together.
        counts: n; all orders are measured too.
        merchants: Only so many are left out at all, spread evenly over the market; None for all.
        seeds: Only the first so many of the experiment; None for all.
    """

    folds: int = FOLDS
    counts: tuple[int, ...] = COUNTS
    merchants: int | None = None
    seeds: int | None = None


def transfer(request: Request, options: Options, progress: Progress) -> Transfer:
    """Measure the learning curves of merchants that join later; finished folds are not measured again.

    Raises:
        FedbazaarError: As `runner.run`.
    """
    torch.set_num_threads(1)
    bench = runner.prepared(request, progress)
    folds = _folds(list(bench.datasets), options)
    seeds = bench.experiment.experiment.seeds[: options.seeds]
    measured = [
        one
        for seed in seeds
        for number, left_out in enumerate(folds)
        for one in _fold(bench, options, seed, number, left_out)
    ]
    return summarised(
        measured,
        bench.federation,
        name=bench.experiment.experiment.name,
        command=request.command,
        environment=environment(),
        privacy=facts.privacy(bench.federation).text,
        sent=wording.sent(facts.contract(bench.federation, runner.trainers(bench, without=folds[0]))),
        seeds=seeds,
        folds=len(folds),
    )


def write(found: Transfer, path: Path) -> None:
    """Replace the file at `path` by `found` as JSON, wholly or not at all."""
    files.write(path, json.dumps(asdict(found), indent=1).encode(), durable=False)


def _folds(merchants: list[str], options: Options) -> list[list[str]]:
    """Deal the merchants out; the market lists them by size, so every fold gets some of each."""
    count = min(options.merchants or len(merchants), len(merchants))
    chosen = [merchants[i * len(merchants) // count] for i in range(count)]
    return [fold for first in range(options.folds) if (fold := chosen[first :: options.folds])]


def _fold(
    bench: Bench, options: Options, seed: int, number: int, left_out: Sequence[str]
) -> Sequence[Measured]:
    """Train without the merchants of a fold and measure each of them."""
    stage = f"seed {seed}, fold {number + 1}"
    directory = bench.out / f"seed-{seed}" / f"fold-{number}"
    asked = {"left_out": list(left_out), "counts": list(options.counts)}
    if (known := _read(directory / "measured.json", asked)) is not None:
        return known
    planned = bench.federation.federation.rounds
    arrays = bench.train(
        bench.site,
        directory=directory,
        lineage=f"{bench.experiment.experiment.name}-{seed}-without-fold-{number}",
        seed=seed,
        receivers=left_out,
        on_round=lambda summary: bench.progress(f"{stage}: federation", summary.round, planned),
    )
    found: list[Measured] = []
    for done, name in enumerate(left_out):
        bench.progress(f"{stage}: left out", done, len(left_out))
        found += _merchant(bench, options, seed, name, arrays)
    bench.progress(f"{stage}: left out", len(left_out), len(left_out))
    written = {"asked": asked, "measured": [asdict(one) for one in found]}
    files.write(directory / "measured.json", json.dumps(written).encode(), durable=False)
    return found


def _read(path: Path, asked: Mapping[str, object]) -> Sequence[Measured] | None:
    """Return what was measured of a fold that was asked for in the same way."""
    if not path.exists():
        return None
    written = json.loads(path.read_bytes())
    return [Measured(**one) for one in written["measured"]] if written["asked"] == asked else None


def _merchant(
    bench: Bench, options: Options, seed: int, name: str, arrays: SharedArrays
) -> Iterator[Measured]:
    """Measure one merchant at every number of orders; beyond what it has, as with all it has."""
    whole = bench.datasets[name]
    tasks, has = learnable(whole, bench.federation), orders_of(whole)
    at_all = list(_measured(bench, seed, name, with_first_orders(whole, None, tasks), arrays, has))
    yield from at_all
    for count in options.counts:
        if count < has:
            few = with_first_orders(whole, count, tasks)
            found = list(_measured(bench, seed, name, few, arrays, has))
        else:
            found = at_all
        yield from (Measured(**{**asdict(one), "orders": count}) for one in found)


def _measured(
    bench: Bench, seed: int, name: str, dataset: Dataset, arrays: SharedArrays, has: int
) -> Iterator[Measured]:
    """Measure every method on a merchant's data set, as with all its orders."""
    measured = partial(Measured, merchant=name, seed=seed, orders=ALL_ORDERS, has=has)
    for method, scores in _methods(bench, seed, name, dataset, arrays):
        for task in dataset.tasks:
            test = _figure(scores, dataset, name, task, "test")
            if test is not None:
                validation = _figure(scores, dataset, name, task, "validation")
                yield measured(method=method, task=task, test=test, validation=validation)


def _methods(
    bench: Bench, seed: int, name: str, dataset: Dataset, arrays: SharedArrays
) -> Iterator[tuple[str, Scores]]:
    tasks = list(dataset.tasks)
    released = build(bench.federation, generator=torch.Generator().manual_seed(seed))
    from_arrays(released, arrays)
    yield "warm: prior", _scored(released, name, dataset)
    yield "warm: heads", _scored(_with_heads(released, dataset), name, dataset)
    source = torch.Generator().manual_seed(int(generator(seed, "fine-tuned", name).integers(2**62)))
    start = Start(model=released, dataset=dataset, strength=Serving().pull, generator=source)
    yield "warm: fine-tuned", _scored(fine_tuned(start), name, dataset)
    for penalty in PENALTIES:
        linear = untrained_linear_model(bench.federation, dataset)
        yield f"alone: linear, {penalty:g}", _scored(_with_heads(linear, dataset, penalty), name, dataset)
    if bench.experiment.baselines.networks and len(dataset.rows("train")):
        for method, train in (("single", baselines.single_task), ("multi", baselines.multi_task)):
            source = torch.Generator().manual_seed(int(generator(seed, method, name).integers(2**62)))
            found = train(bench.federation, name, dataset, bench.experiment.baselines, source)
            yield f"alone: {method}-task network", {k: v for k, v in found.items() if k.task in tasks}


def _with_heads(model: MultiTaskModel, dataset: Dataset, penalty: float | None = None) -> MultiTaskModel:
    """Return the model with own parts of heads fitted on the data set's training rows."""
    served = copy.deepcopy(model)
    for task in dataset.tasks:
        serving_heads.put(served, task, serving_heads.fit(model, dataset, task, penalty=penalty))
    return served


def _scored(model: MultiTaskModel, name: str, dataset: Dataset) -> Scores:
    tasks = list(dataset.tasks)
    return {
        **scores_of(model, name, dataset, "validation", tasks=tasks),
        **scores_of(model, name, dataset, "test", tasks=tasks),
    }


def _figure(scores: Scores, dataset: Dataset, name: str, task: str, split: Split) -> float | None:
    """Return the task's first measure on one split; None without rows."""
    values = scores.get(Key(name, task, split))
    if values is None or not len(values):
        return None
    mean = float(np.mean(values))
    return mean**0.5 if measure_of(dataset.tasks[task]).root else mean
