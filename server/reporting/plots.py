"""The plots of a report: data in, a matplotlib `Figure` out; nothing is read, written or shown.

A gain is in percent of a merchant's own metric alone, above zero is better, whichever way the metric points.
Notation: T tasks, G groups, M merchants.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .results import Round, Summary, Task
from .style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PERCENT,
    RULE,
    VERDICT_COLOURS,
    VERMILION,
    drawing,
    heading,
    panels,
    rows_downward,
)
from .wording import ALL, axis, number, relative, says, spoken

_METHODS = {
    "constant": ("constant", GREY, "|"),
    "alone": ("alone", VERMILION, "s"),
    "prior": ("federated, no rows of its own", ORANGE, "D"),
    "federated": ("federated", BLUE, "o"),
    "pooled": ("all rows in one place", GREEN, "^"),
}

_WORTH_CLOSING = 0.01
"""A smaller share of the metric between alone and pooled is no distance to speak of."""


def gain_by_task(tasks: Sequence[Task], summaries: Sequence[Summary]) -> Figure:
    """Draw the mean gain of every task and group with its interval over merchants."""
    chosen = [s for task in tasks for s in summaries if s.task == task.name and s.gain_percent is not None]
    better = sum(says(s.low, s.high) == "gains" for s in chosen if s.group == ALL)
    with drawing():
        figure = Figure(figsize=(7.2, 0.9 + 0.27 * len(chosen)))
        axes = figure.subplots()
        heading(figure, f"Clearly better together on {better} of {len({s.task for s in chosen})} tasks")
        for y, summary in enumerate(chosen):
            _forest_row(axes, y, summary)
        starts = [y for y, s in enumerate(chosen) if s.group == ALL and y]
        axes.hlines(np.array(starts) - 0.5, 0, 1, RULE, linewidth=0.6, transform=axes.get_yaxis_transform())
        axes.axvline(0, color=INK, linewidth=0.8)
        rows_downward(axes, [_row_label(s) for s in chosen])
        axes.set_xlabel("mean gain over merchants, % of the metric alone (95 % interval)")
        axes.xaxis.set_major_formatter(PERCENT)
        axes.grid(axis="x")
    return figure


def _row_label(summary: Summary) -> str:
    """The task in full at its first row, the group below it."""
    if summary.group == ALL:
        return f"{spoken(summary.task)}: all {summary.merchants}"
    return f"{summary.group} ({summary.merchants})"


def _forest_row(axes: Axes, y: int, summary: Summary) -> None:
    colour = VERDICT_COLOURS[says(summary.low, summary.high)]
    whole = summary.group == ALL
    low, high = (relative(bound, summary.alone) for bound in (summary.low, summary.high))
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=2.5 if whole else 1.3, solid_capstyle="round")
    axes.plot([summary.gain_percent or 0.0], [y], "o", color=colour, markersize=7 if whole else 4.5)


def methods_by_task(tasks: Sequence[Task], summaries: Sequence[Summary]) -> Figure:
    """Draw the mean metric of every method, a panel per task, a row per group."""
    groups = list(dict.fromkeys(s.group for s in summaries))
    with drawing():
        figure, grid = panels(len(tasks), most=2, height=0.9 + 0.28 * len(groups))
        heading(figure, "Every method on the same test rows")
        for axes, task in zip(grid, tasks, strict=True):
            rows = {s.group: s for s in summaries if s.task == task.name}
            _method_dots(axes, task, [rows.get(group) for group in groups])
            rows_downward(axes, groups)
        handles, labels = grid[0].get_legend_handles_labels() if grid else ([], [])
        figure.legend(handles, labels, loc="outside lower center", ncols=len(_METHODS), handletextpad=0.1)
    return figure


def _method_dots(axes: Axes, task: Task, rows: Sequence[Summary | None]) -> None:
    for method, (label, colour, marker) in _METHODS.items():
        values = [getattr(row, method) if row else None for row in rows]
        known = [(v, y) for y, v in enumerate(values) if v is not None]
        x, y = zip(*known, strict=True) if known else ((), ())
        axes.plot(x, y, marker, color=colour, label=label, markersize=6, markeredgewidth=1.5, alpha=0.9)
    axes.set_title(spoken(task.name) + _gap_closed(task, rows), fontsize="medium")
    axes.set_xlabel(axis(task))
    axes.grid(axis="both")


def _gap_closed(task: Task, rows: Sequence[Summary | None]) -> str:
    """Say how much of what pooling gains federating gains, where pooling gains anything."""
    whole = next((r for r in rows if r and r.group == ALL), None)
    if whole is None or whole.alone is None or whole.pooled is None or whole.gain is None:
        return ""
    pooled_gain = (whole.pooled - whole.alone) * (1 if task.higher_is_better else -1)
    if pooled_gain < _WORTH_CLOSING * abs(whole.alone):
        return ""
    return f": {100 * whole.gain / pooled_gain:.0f} % of the way to pooling"


def validation_by_round(rounds: Sequence[Round]) -> Figure:
    """Draw the validation loss after every round, a panel per task, first and last value written out."""
    tasks = list(dict.fromkeys(task for r in rounds for task in r.validation))
    with drawing():
        figure, grid = panels(len(tasks))
        heading(figure, f"Validation loss over {len(rounds)} rounds")
        for axes, task in zip(grid, tasks, strict=True):
            curve = [(r.round, loss) for r in rounds if (loss := r.validation.get(task)) is not None]
            x, y = zip(*curve, strict=True) if curve else ((), ())
            axes.plot(x, y, color=BLUE, linewidth=1.6)
            axes.plot(x[-1:], y[-1:], "o", color=BLUE, markersize=5)
            ends = f": {number(y[0])} to {number(y[-1])}" if curve else ""
            axes.set_title(spoken(task) + ends, fontsize="small")
            axes.set_xlabel("round")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(axis="y")
        if grid:
            grid[0].set_ylabel("mean validation loss")
    return figure
