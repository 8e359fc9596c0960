"""From the cells of a comparison to one line per task and group of merchants."""

from collections.abc import Sequence

import numpy as np

from server.reporting.results import Cell, Merchant, Summary, Task

from .statistics import merchant_bootstrap

ALL = "all"
"""The group that every merchant is in."""

_METHODS = ("alone", "federated", "prior", "pooled", "constant")
TOLERATED = 0.02
"""Share of its own metric that a merchant may lose before it counts as worse."""


def summarise(
    cells: Sequence[Cell],
    merchants: Sequence[Merchant],
    tasks: Sequence[Task],
    generator: np.random.Generator,
) -> tuple[Summary, ...]:
    """Return a summary of every task for all merchants and for each group, in the order of the arguments.

    A merchant without a gain on a task (no test rows, no labels) is left out there. A group in which nobody
    has the task has no line.

    Args:
        cells: One per merchant and task.
        merchants: Say which group a merchant is in.
        tasks: Those to summarise.
        generator: Draws the bootstrap over merchants.
    """
    members = {ALL: {m.name for m in merchants}}
    for merchant in merchants:
        members.setdefault(merchant.group, set()).add(merchant.name)
    return tuple(
        _line(task.name, group, chosen, generator)
        for task in tasks
        for group, names in members.items()
        if (
            chosen := [c for c in cells if c.task == task.name and c.merchant in names and c.gain is not None]
        )
    )


def _line(task: str, group: str, cells: list[Cell], generator: np.random.Generator) -> Summary:
    means = {method: _mean([getattr(cell, method) for cell in cells]) for method in _METHODS}
    gains = np.array([cell.gain for cell in cells], dtype=np.float64)
    interval = merchant_bootstrap(gains, generator=generator)
    alone = means["alone"]
    return Summary(
        task=task,
        group=group,
        merchants=len(cells),
        **means,
        gain=interval.estimate,
        gain_percent=100 * interval.estimate / abs(alone) if alone else None,
        low=interval.low,
        high=interval.high,
        wins=int((gains > 0).sum()),
        worse_than_2_percent=sum(_is_worse(cell) for cell in cells),
    )


def _mean(values: list[float | None]) -> float | None:
    """Mean of what is there; None where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _is_worse(cell: Cell) -> bool:
    return cell.gain is not None and cell.alone is not None and cell.gain < -TOLERATED * abs(cell.alone)
