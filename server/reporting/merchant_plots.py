"""The plots of a report that show single merchants (see `plots` for what all have in common).

Notation: T tasks, M merchants.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy.stats import spearmanr

from .results import Cell, Merchant, Task
from .style import BLUE, DARK, INK, PAPER, PERCENT, VERDICT_COLOURS, VERMILION, drawing, heading, panels
from .wording import MARKS, NOTHING, by_size, clear_cases, number, relative, signed, spoken

_SYMBOLS = {v: (s, VERDICT_COLOURS[v]) for v, s in zip(MARKS, "^vo", strict=True)}
_GAINS = LinearSegmentedColormap.from_list("gains", [VERMILION, "#f4f4f2", BLUE])
_STRONGEST = 30.0  # per cent; a stronger gain or loss has the same colour, its number is written in the cell
_CROWDED = 20  # merchants, above which the rows of the heat map get lower
_FEWEST_FOR_CORRELATION = 8


def gain_by_merchant(tasks: Sequence[Task], merchants: Sequence[Merchant], cells: Sequence[Cell]) -> Figure:
    """Draw the gain of every merchant on every task as a heat map, the largest merchant first."""
    rows, found = by_size(merchants), {(c.merchant, c.task): c for c in cells}
    grid = [[found.get((m.name, t.name)) for t in tasks] for m in rows]
    gains = np.array([[_gain(cell) for cell in row] for row in grid], dtype=float).reshape(
        len(rows), len(tasks)
    )
    counts = clear_cases(cells)
    row_height = 0.26 if len(rows) <= _CROWDED else 0.19
    with drawing():
        figure = Figure(figsize=(7.2, 1.3 + row_height * len(rows)))
        axes = figure.subplots()
        heading(
            figure,
            f"{counts['gains']} of {sum(counts.values())} pairs clearly gain, {counts['loses']} clearly lose",
        )
        axes.pcolormesh(gains, cmap=_GAINS, vmin=-_STRONGEST, vmax=_STRONGEST, edgecolors=PAPER, linewidth=1)
        for (y, x), gain in np.ndenumerate(gains):
            _label_cell(axes, x + 0.5, y + 0.5, gain, grid[y][x], size=7.5 if len(rows) <= _CROWDED else 6)
        columns = [spoken(task.name).replace(" ", "\n", 1) for task in tasks]
        axes.set_xticks(np.arange(len(tasks)) + 0.5, columns)
        axes.xaxis.tick_top()
        axes.set_yticks(
            np.arange(len(rows)) + 0.5, [f"{m.name} ({m.orders})" for m in rows], fontsize=28 * row_height
        )
        axes.invert_yaxis()
        axes.set_ylabel("merchant (orders)")
        axes.spines["bottom"].set_visible(False)
        axes.set_xlabel("gain, % of the metric alone; a triangle marks what the test rows show clearly")
    return figure


def _gain(cell: Cell | None) -> float:
    gain = None if cell is None else relative(cell.gain, cell.alone)
    return np.nan if gain is None else gain


def _label_cell(axes: Axes, x: float, y: float, gain: float, cell: Cell | None, *, size: float) -> None:
    if cell is None or np.isnan(gain):
        axes.text(x, y, NOTHING, ha="center", va="center", fontsize=size)
        return
    mark = "" if cell.verdict == "cannot tell" else f" {MARKS[cell.verdict]}"
    ink = "white" if abs(gain) > 0.6 * _STRONGEST else DARK
    axes.text(
        x, y, signed(f"{round(gain) or 0:+d}{mark}"), ha="center", va="center", fontsize=size, color=ink
    )


def gain_by_size(tasks: Sequence[Task], merchants: Sequence[Merchant], cells: Sequence[Cell]) -> Figure:
    """Draw the gain of every merchant against its number of orders, a panel per task."""
    orders = {m.name: m.orders for m in merchants}
    with drawing():
        figure, grid = panels(len(tasks), most=2)
        heading(figure, "Gain against the size of the merchant")
        for axes, task in zip(grid, tasks, strict=True):
            known = [
                c for c in cells if c.task == task.name and not np.isnan(_gain(c)) and orders[c.merchant] > 0
            ]
            _size_dots(axes, known, orders)
            correlation = _rank_correlation([orders[c.merchant] for c in known], known)
            axes.set_title(spoken(task.name) + correlation, fontsize="medium")
        _legend_of_verdicts(figure)
    return figure


def _size_dots(axes: Axes, cells: Sequence[Cell], orders: Mapping[str, int]) -> None:
    for verdict, (symbol, colour) in _SYMBOLS.items():
        chosen = [c for c in cells if c.verdict == verdict]
        x, y = [orders[c.merchant] for c in chosen], [_gain(c) for c in chosen]
        axes.plot(x, y, symbol, color=colour, markersize=5, alpha=0.85)
    axes.axhline(0, color=INK, linewidth=0.8)
    if cells:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("orders")
    axes.set_ylabel("gain")
    axes.grid(axis="y")


def _rank_correlation(orders: Sequence[int], cells: Sequence[Cell]) -> str:
    """Spearman's, where there are enough different merchants to mean anything."""
    if len(cells) < _FEWEST_FOR_CORRELATION or len(set(orders)) == 1 or len({_gain(c) for c in cells}) == 1:
        return ""
    return f": rank correlation {number(float(spearmanr(orders, [_gain(c) for c in cells])[0]), 2)}"


def _legend_of_verdicts(figure: Figure) -> None:
    handles = [
        Line2D([], [], linestyle="", marker=symbol, color=colour, label=verdict)
        for verdict, (symbol, colour) in _SYMBOLS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.1)
