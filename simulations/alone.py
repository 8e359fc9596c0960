"""What merchants can do without anybody, and the upper bound: everybody's rows in one place."""

from functools import partial

from . import baselines, runner, scores
from .kept import kept
from .runner import Bench
from .scores import Scores, averaged, merged

LINEAR = "linear"


def alone(bench: Bench, seeds: tuple[int, ...]) -> dict[str, Scores]:
    """Return the scores of every way to train alone, averaged over seeds; what is measured is kept."""
    found = kept(bench.out / "alone" / "linear.npz", partial(_without_networks, bench))
    if bench.experiment.baselines.networks:
        runs = [
            kept(bench.out / "alone" / f"networks-{seed}.npz", partial(_networks, bench, seed))
            for seed in seeds
        ]
        found |= {name: averaged([run[name] for run in runs]) for name in runs[0]}
    return found


def constant(bench: Bench) -> Scores:
    """Return the test scores of the best constant."""
    return merged([scores.constant_scores(n, d, "test") for n, d in bench.datasets.items()])


def pooled(bench: Bench, seeds: tuple[int, ...]) -> Scores:
    """Return the test scores of all rows in one place, averaged over seeds; what is measured is kept."""
    runs = [kept(bench.out / f"pooled-{seed}.npz", partial(_pooled, bench, seed)) for seed in seeds]
    return averaged([run["pooled"] for run in runs])


def _without_networks(bench: Bench) -> dict[str, Scores]:
    bench.progress("alone: linear, floors", 0, 1)
    found = {LINEAR: baselines.linear(bench.federation, bench.datasets)} | scores.floors(bench.datasets)
    bench.progress("alone: linear, floors", 1, 1)
    return found


def _networks(bench: Bench, seed: int) -> dict[str, Scores]:
    return {kind: runner.networks(bench, kind, seed) for kind in runner.NETWORKS}


def _pooled(bench: Bench, seed: int) -> dict[str, Scores]:
    return {"pooled": runner.pooled(bench, seed)}
