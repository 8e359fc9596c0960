"""The pictures of one merchant's question; nothing is read or written."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from server.reporting.results import Task
from server.reporting.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PERCENT,
    VERDICT_COLOURS,
    drawing,
    heading,
    panels,
    rows_downward,
)
from server.reporting.wording import axis, spoken

from ..heat_map import Shade, heat_map
from .report import Contribution, CurvePoint, Gain, Joined, Line

POOLED = "all rows in one place"


def gains(found: Joined, levels: Sequence[str]) -> Figure:
    """Draw the gain over alone at every level and of pooling, a panel a task, with the study's bounds."""
    tasks = list(dict.fromkeys(line.task for line in found.lines))
    with drawing():
        figure, grid = panels(len(tasks), most=2, height=0.75 + 0.22 * (len(levels) + 1))
        heading(figure, f"{found.merchant}: gain over alone")
        for axes, task in zip(grid, tasks, strict=True):
            lines = {line.level: line for line in found.lines if line.task == task}
            _forest(axes, [*levels, POOLED], [*(lines[level].gain for level in levels), _pooled(lines)])
            axes.set_title(spoken(task))
    return figure


def _pooled(lines: dict[str, Line]) -> Gain | None:
    return next(iter(lines.values())).pooled_gain


def _forest(axes: Axes, labels: Sequence[str], rows: Sequence[Gain | None]) -> None:
    for y, gain in enumerate(rows):
        if gain is None or gain.percent is None:
            continue
        colour = VERDICT_COLOURS[gain.verdict]
        if gain.low is not None and gain.high is not None:
            axes.plot([gain.low, gain.high], [y, y], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([gain.percent], [y], "^" if y == len(rows) - 1 else "o", color=colour, markersize=5)
    axes.axvline(0, color=INK, linewidth=0.8)
    rows_downward(axes, labels)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="x")


def curves(found: Joined) -> Figure:
    """Draw alone and receiving against the merchant's own orders, and taking part with all of them."""
    tasks = [task for task in found.tasks if any(point.task == task.name for point in found.curve)]
    joined = {one.task: one.joined for one in found.taking_part}
    with drawing():
        figure, grid = panels(len(tasks), most=2, height=2.2)
        heading(figure, f"{found.merchant} with fewer orders of its own")
        for axes, task in zip(grid, tasks, strict=True):
            points = [point for point in found.curve if point.task == task.name]
            _curve(axes, task, points, joined.get(task.name))
        handles, labels = grid[0].get_legend_handles_labels() if grid else ([], [])
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _curve(axes: Axes, task: Task, points: Sequence[CurvePoint], joined: float | None) -> None:
    at = list(range(len(points)))
    axes.plot(at, [p.alone for p in points], "s-", color=ORANGE, label="alone", markersize=4)
    axes.plot(at, [p.receiving for p in points], "o-", color=BLUE, label="only receiving", markersize=4)
    if joined is not None:
        axes.plot(at[-1:], [joined], "D", color=GREEN, label="taking part, with all orders", markersize=6)
    axes.set_xticks(at, [f"{p.orders}\n({100 * p.share:g} %)" for p in points])
    axes.set_xlim(-0.3, len(points) - 0.7)
    axes.set_title(f"{spoken(task.name)}: {axis(task)}", fontsize="small")
    axes.grid(axis="y")


def contributions(found: Sequence[Contribution]) -> Figure:
    """Draw what each merchant adds for the others on every task, in percent of their metric without it."""
    merchants = list(dict.fromkeys(one.merchant for one in found))
    tasks = list(dict.fromkeys(one.task for one in found))
    table = {(one.merchant, one.task): one.gain for one in found}
    cells = [[_shade(table.get((m, t))) for t in tasks] for m in merchants]
    with drawing():
        figure = Figure(figsize=(7.2, 1.3 + 0.26 * len(merchants)))
        axes = figure.subplots()
        heading(figure, "What each adds for the others")
        columns = [spoken(task).replace(" ", "\n", 1) for task in tasks]
        heat_map(axes, cells, rows=merchants, columns=columns, strongest=3.0, digits=1)
        axes.set_ylabel("merchant that takes part")
        axes.set_xlabel("gain of the others, % of their metric without it; a triangle marks what is clear")
    return figure


def _shade(gain: Gain | None) -> Shade | None:
    return None if gain is None or gain.percent is None else Shade(gain.percent, gain.verdict)
