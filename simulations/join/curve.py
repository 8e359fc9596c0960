"""The merchant as it was with fewer orders: alone, and served of what the others released."""

from collections.abc import Iterator, Mapping
from functools import partial

import torch

from client import acceptance
from client.contestants import contestants
from client.data.dataset import Dataset
from client.personalization.start import Start
from shared_model.heads import measure_of
from shared_model.model import build
from shared_model.parameters import from_arrays

from .. import baselines, runner
from ..alone import LINEAR
from ..baselines import learnable
from ..first_orders import orders_of, with_first_orders
from ..kept import kept
from ..runner import Bench
from ..scores import Key, Scores, averaged, row_scores
from ..seeds import generator
from .gains import gain, metric
from .report import CurvePoint
from .trainings import Trainings

RECEIVING = "receiving"


def curve(
    trainings: Trainings, name: str, shares: tuple[float, ...], ways: Mapping[str, str]
) -> tuple[CurvePoint, ...]:
    """Return the merchant's metrics with each share of its orders.

    With a share below one it goes alone by the better of two on its validation rows: the linear model, and
    the way that is best with all orders. Linear models have one strength for all merchants, each of which has
    the same share of its orders. What it receives was released without it, and is adopted as it would be.

    Args:
        trainings: At the level of the contract.
        name: The merchant's.
        shares: Of its orders.
        ways: Task -> the way alone that is best with all orders.
    """
    return tuple(point for share in shares for point in _points(trainings, name, share, ways))


def _points(trainings: Trainings, name: str, share: float, ways: Mapping[str, str]) -> Iterator[CurvePoint]:
    bench, seeds = trainings.bench, trainings.seeds
    whole = bench.datasets[name]
    orders = round(share * orders_of(whole))
    runs = [
        kept(
            bench.out / "curve" / name / f"{share:g}-{seed}.npz",
            partial(_measured, trainings, name, share, seed),
        )
        for seed in seeds
    ]
    found = {method: averaged([run[method] for run in runs]) for method in runs[0]}
    for task in learnable(whole, bench.federation):
        key = Key(name, task, "test")
        if key not in found[RECEIVING]:
            continue
        way = _way(found, name, task, ways[task], whole) if share < 1 else ways[task]
        alone, measure = found[way][key], measure_of(whole.tasks[task])
        yield CurvePoint(
            task=task,
            share=share,
            orders=orders,
            way=way,
            alone=metric(alone, measure),
            receiving=metric(found[RECEIVING][key], measure),
            gain=gain(
                alone,
                found[RECEIVING][key],
                whole,
                key,
                comparisons=1,
                seed=seeds[0],
                what=f"share {share:g}",
            ),
        )


def _way(found: Mapping[str, Scores], name: str, task: str, best: str, dataset: Dataset) -> str:
    """Return the better of two ways alone on validation rows; the linear one without any."""
    measure, key = measure_of(dataset.tasks[task]), Key(name, task, "validation")
    sign = -1.0 if measure.higher_is_better else 1.0
    judged = {way: found[way][key] for way in dict.fromkeys((LINEAR, best)) if key in found[way]}
    return min(judged, key=lambda way: sign * metric(judged[way], measure), default=LINEAR)


def _measured(trainings: Trainings, name: str, share: float, seed: int) -> dict[str, Scores]:
    """Score every way alone and what is received, with a share of the orders."""
    bench = trainings.bench
    bench.progress(f"{name} with {100 * share:g} % of its orders, seed {seed}", 0, 1)
    fewer = {n: _with_share(bench, n, share) for n in bench.datasets}
    linear = baselines.linear(bench.federation, fewer)
    found = {LINEAR: {key: scores for key, scores in linear.items() if key.merchant == name}}
    if bench.experiment.baselines.networks and len(fewer[name].rows("train")):
        for kind in runner.NETWORKS:
            found[kind] = runner.network(bench, kind, name, fewer[name], seed)
    found[RECEIVING] = _received(trainings, name, fewer[name], seed)
    bench.progress(f"{name} with {100 * share:g} % of its orders, seed {seed}", 1, 1)
    return found


def _with_share(bench: Bench, name: str, share: float) -> Dataset:
    dataset = bench.datasets[name]
    count = None if share >= 1 else round(share * orders_of(dataset))
    return with_first_orders(dataset, count, learnable(dataset, bench.federation))


def _received(trainings: Trainings, name: str, dataset: Dataset, seed: int) -> Scores:
    """Score what the merchant would serve of a release that it had no part in."""
    bench = trainings.bench
    model = build(bench.federation, generator=torch.Generator().manual_seed(seed))
    from_arrays(model, trainings.arrays(seed, without=name))
    serve = bench.site.merchant(name, seed).config.serve
    source = torch.Generator().manual_seed(int(generator(seed, "join", name).integers(2**62)))
    start = Start(model=model, dataset=dataset, strength=serve.pull, generator=source)
    candidates = contestants(start, bench.federation, serve.candidates)
    accepted, _ = acceptance.accept(candidates, serve.accept)
    found: Scores = {}
    for task in dataset.tasks:
        rows = dataset.rows("test", task=task)
        if len(rows):
            logits = candidates.logits(accepted[task].choice, task, rows)
            found[Key(name, task, "test")] = row_scores(dataset, task, rows, logits)
    return found
