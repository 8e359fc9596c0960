"""The plots of an audit: findings in, a matplotlib `Figure` out."""

from collections.abc import Sequence
from textwrap import wrap

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from server.reporting.style import BLUE, GREY, INK, ORANGE, VERMILION, drawing, heading, panels, rows_downward

from .report import Section


def claims_and_bounds(sections: Sequence[Section]) -> Figure:
    """Draw every lower bound beside the claim that it is held against."""
    rows = [(section, bound) for section in sections for bound in section.bounds]
    with drawing():
        figure = Figure(figsize=(7.2, 1.0 + 0.3 * len(rows)))
        axes = figure.subplots()
        heading(figure, "What was claimed, and what was seen")
        for y, (_, bound) in enumerate(rows):
            colour = VERMILION if bound.refuted else BLUE
            axes.barh(y, bound.epsilon, color=colour, height=0.55)
            axes.plot([bound.claimed] * 2, [y - 0.4, y + 0.4], color=INK, linewidth=2)
        rows_downward(axes, [f"{section.claim['tier']}: {bound.name}" for section, bound in rows])
        axes.set_xlabel("epsilon (bar: at least, by what was seen; line: at most, by the claim)")
        axes.set_xlim(left=0)
        axes.grid(axis="x")
    return figure


def curves(sections: Sequence[Section]) -> Figure:
    """Draw epsilon against delta, a panel per section that has a curve, and the point that was claimed."""
    drawn = [section for section in sections if section.curve is not None]
    with drawing():
        figure, grid = panels(len(drawn), most=2)
        heading(figure, "The same guarantee at every delta")
        for axes, section in zip(grid, drawn, strict=True):
            if section.curve is not None:
                axes.plot(section.curve.delta, section.curve.epsilon, color=BLUE, linewidth=1.6)
            axes.plot([section.delta], [section.epsilon], "D", color=ORANGE, markersize=6)
            axes.axvline(section.delta, color=GREY, linewidth=0.8, linestyle=":")
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}"))
            axes.xaxis.set_major_locator(LogLocator(numticks=5))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(
                "\n".join(wrap(section.title, 60, break_long_words=False, break_on_hyphens=False)),
                fontsize="small",
            )
            axes.set_xlabel("delta")
            axes.grid(axis="both")
        if grid:
            grid[0].set_ylabel("epsilon")
    return figure
