"""What privacy costs: one experiment at several epsilons and without privacy, against training alone.

Every level is the whole experiment through the whole pipeline (coordinator, clients, ledgers), under the same
contract with another epsilon. Alone is trained once, at the first level, and stands for all.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from server.reporting import results as result_files
from server.reporting import wording
from server.reporting.results import Cell, Result, Task
from shared_model import declared, files
from shared_model.errors import ConfigError

from . import levels, runner
from .experiment import load_experiment
from .runner import Request
from .seeds import generator
from .statistics import merchant_bootstrap
from .summary import ALL

EPSILONS = (1.0, 2.0, 4.0, 8.0)
NO_NOISE = 1e4
"""An epsilon that protects nobody: the same recipe with next to no noise, to tell what noise costs."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One task and group of merchants at one level.

    Attributes:
        level: Its name: `epsilon 8`, `next to no noise`, `no privacy`.
        epsilon: Of the contract; None without privacy.
        task: Its name.
        group: Of merchants, or `all`.
        metric: Of the task.
        merchants: With a gain.
        alone: Mean metric of training alone; the strongest method, chosen on validation rows.
        federated: Mean metric of what is served.
        prior: Mean metric of the released model without any private part.
        gain_percent: Of federated over alone, above zero is better.
        low_percent: Lower 95 % bound over merchants; None for a single one.
        high_percent: Upper bound.
    """

    level: str
    epsilon: float | None
    task: str
    group: str
    metric: str
    merchants: int
    alone: float
    federated: float
    prior: float | None
    gain_percent: float
    low_percent: float | None
    high_percent: float | None


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """All points of an experiment, with what they were made from; `sent` says of every level what moved."""

    name: str
    command: str
    seeds: tuple[int, ...]
    environment: Mapping[str, str]
    delta: float
    sent: Mapping[str, str]
    points: tuple[Point, ...]


def frontier(request: Request, epsilons: Sequence[float], progress: Progress) -> Frontier:
    """Run the experiment at every epsilon, with next to no noise and without privacy.

    Finished levels are not run again, so a stopped frontier goes on.

    Args:
        request: The experiment; its contract must have a `[privacy]` table.
        epsilons: To run it at.
        progress: Is told of every level's stages.

    Raises:
        ConfigError: The contract has no `[privacy]` table, or an epsilon is not positive.
        FedbazaarError: As `runner.run`.
    """
    experiment = load_experiment(request.experiment, data=request.data)
    contract = request.experiment.parent / experiment.experiment.contract
    tables = declared.read_toml(contract)
    if "privacy" not in tables:
        raise ConfigError(contract, "privacy", None, "a [privacy] table, whose epsilon is then varied")
    results: dict[str, Result] = {}
    steps = _steps(epsilons, contract)
    for number, (level, epsilon) in enumerate(steps.items()):
        out = request.out / level.replace(" ", "-")
        changed = replace(
            request,
            out=out,
            contract=levels.written(tables, epsilon, out),
            networks=None if number == 0 else False,
        )
        results[level] = _finished(out) or runner.run(changed, _told(level, progress))
    first = next(iter(results.values()))
    return Frontier(
        name=first.name,
        command=request.command,
        seeds=first.seeds,
        environment=first.environment,
        delta=float(tables["privacy"]["delta"]),
        sent={level: wording.sent(result.contract) for level, result in results.items()},
        points=tuple(p for level, e in steps.items() for p in _points(level, e, results[level], first)),
    )


def write(found: Frontier, path: Path) -> None:
    """Replace the file at `path` by `found` as JSON, wholly or not at all."""
    files.write(path, json.dumps(asdict(found), indent=1).encode(), durable=False)


def _told(level: str, progress: Progress) -> Progress:
    return lambda stage, done, total: progress(f"{level}: {stage}", done, total)


def _steps(epsilons: Sequence[float], contract: Path) -> dict[str, float | None]:
    """Return the levels with one more before the last: the same recipe with next to no noise."""
    asked = levels.levels(epsilons, contract)
    last = {levels.NO_PRIVACY: asked.pop(levels.NO_PRIVACY)}
    return {**asked, "next to no noise": NO_NOISE, **last}


def _finished(out: Path) -> Result | None:
    path = out / "result.json"
    return result_files.read(path) if path.exists() else None


def _points(level: str, epsilon: float | None, result: Result, first: Result) -> list[Point]:
    alone = {(cell.merchant, cell.task): cell.alone for cell in first.cells}
    groups: dict[str, set[str]] = {ALL: {m.name for m in result.merchants}}
    for merchant in result.merchants:
        groups.setdefault(merchant.group, set()).add(merchant.name)
    points = []
    for task in first.tasks:
        for group, names in groups.items():
            cells = [c for c in result.cells if c.task == task.name and c.merchant in names]
            point = _point(level, epsilon, task, group, cells, alone)
            points += [point] if point else []
    return points


def _point(
    level: str,
    epsilon: float | None,
    task: Task,
    group: str,
    cells: list[Cell],
    alone: Mapping[tuple[str, str], float | None],
) -> Point | None:
    known = [
        (before, cell)
        for cell in cells
        if (before := alone.get((cell.merchant, cell.task))) is not None and cell.federated is not None
    ]
    if not known:
        return None
    sign = 1.0 if task.higher_is_better else -1.0
    gains = np.array([sign * ((cell.federated or 0.0) - before) for before, cell in known])
    mean = float(np.mean([before for before, _ in known]))
    interval = merchant_bootstrap(gains, generator=generator(0, "frontier"))
    priors = [cell.prior for _, cell in known if cell.prior is not None]
    scale = 100 / abs(mean) if mean else math.nan
    return Point(
        level=level,
        epsilon=epsilon,
        task=task.name,
        group=group,
        metric=task.metric,
        merchants=len(known),
        alone=mean,
        federated=float(np.mean([cell.federated for _, cell in known])),
        prior=float(np.mean(priors)) if priors else None,
        gain_percent=scale * interval.estimate,
        low_percent=_known(scale * interval.low),
        high_percent=_known(scale * interval.high),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
