"""The frontier as a picture, a page and a table: what epsilon buys, task by task."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from server.reporting.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PERCENT,
    PURPLE,
    drawing,
    heading,
    panels,
    svg,
)
from server.reporting.wording import NOTHING, number, says, signed, spoken
from shared_model.privacy.words import meaning

from . import study_page
from .frontier import NO_NOISE, Frontier, Point
from .summary import ALL

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)


def draw(points: Sequence[Point]) -> Figure:
    """Draw the gain over training alone against epsilon: a panel a task, a line a group of merchants.

    Gains are in percent of the metric alone, with 95 % intervals over merchants; above zero is better.
    """
    tasks = list(dict.fromkeys(point.task for point in points))
    levels = list(dict.fromkeys(point.level for point in sorted(points, key=_noise, reverse=True)))
    with drawing():
        figure, grid = panels(len(tasks), most=2, height=2.6)
        heading(figure, "What privacy costs: gain over training alone")
        for axes, task in zip(grid, tasks, strict=True):
            _panel(axes, task, [point for point in points if point.task == task], levels)
        handles, labels = grid[0].get_legend_handles_labels() if grid else ([], [])
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _panel(axes: Axes, task: str, points: Sequence[Point], levels: Sequence[str]) -> None:
    groups = list(dict.fromkeys(point.group for point in points))
    for place, group in enumerate(groups):
        mine = [point for point in points if point.group == group]
        x = [levels.index(p.level) + 0.08 * (place - (len(groups) - 1) / 2) for p in mine]
        order = sorted(range(len(mine)), key=x.__getitem__)
        whole, colour = group == ALL, _COLOURS[place % len(_COLOURS)]
        label = f"all {mine[0].merchants}" if whole else f"{group} ({mine[0].merchants})"
        at = [x[i] for i in order]
        for i in order:
            for low, high in _bounds(mine[i]):
                axes.vlines(x[i], low, high, colour, alpha=0.5)
        axes.plot(
            at,
            [mine[i].gain_percent for i in order],
            "o-",
            color=colour,
            label=label,
            markersize=6 if whole else 4,
            linewidth=1.8 if whole else 1.0,
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(range(len(levels)), [_short(level) for level in levels], fontsize="small")
    axes.set_title(spoken(task))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.grid(axis="y")


def _noise(point: Point) -> float:
    """Order of levels: the most noise first, no privacy last."""
    return -(point.epsilon if point.epsilon is not None else 10 * NO_NOISE)


def _short(level: str) -> str:
    return level.replace("epsilon ", "ε ").replace("no noise", "\nno noise")


def _bounds(point: Point) -> list[tuple[float, float]]:
    low, high = point.low_percent, point.high_percent
    return [] if low is None or high is None else [(low, high)]


def ordered(points: Sequence[Point]) -> list[Point]:
    """Return the points task by task, group by group, the most noise first."""
    tasks, groups = ([*dict.fromkeys(getattr(p, field) for p in points)] for field in ("task", "group"))
    return sorted(points, key=lambda p: (tasks.index(p.task), groups.index(p.group), -_noise(p)))


def table(found: Frontier) -> Table:
    """Return the points of all merchants and of the groups as a table for a terminal."""
    drawn = Table(title=f"{found.name}: gain over training alone", title_justify="left")
    for column in ("task", "merchants", "level", "alone", "federated", "gain", "95 % interval"):
        drawn.add_column(column, justify="left" if column in ("task", "merchants", "level") else "right")
    before = None
    for point in ordered(found.points):
        if before not in (None, (point.task, point.group)):
            drawn.add_section()
        drawn.add_row(*map(Text, _cells(point)))
        before = (point.task, point.group)
    return drawn


def _cells(point: Point) -> tuple[str, ...]:
    return (
        spoken(point.task),
        f"{point.group} ({point.merchants})",
        point.level,
        number(point.alone),
        number(point.federated),
        signed(f"{point.gain_percent:+.1f} %"),
        next((signed(f"{low:+.1f} to {high:+.1f} %") for low, high in _bounds(point)), NOTHING),
    )


def write_page(found: Frontier, path: Path) -> None:
    """Replace the file at `path` by one self-contained page; it loads nothing and runs nothing."""
    tasks: dict[str, list[tuple[Point, tuple[str, ...], str]]] = {}
    for point in ordered(found.points):
        verdict = says(point.low_percent, point.high_percent)
        tasks.setdefault(point.task, []).append((point, _cells(point), verdict.replace(" ", "-")))
    least = min((p.epsilon for p in found.points if p.epsilon is not None), default=1.0)
    study_page.write(
        path,
        _TITLE,
        _BODY,
        filters={"spoken": spoken},
        found=found,
        figure=Markup(svg(draw(found.points), "frontier")),
        tasks=tasks,
        meaning=meaning(least, found.delta),
    )


_TITLE = "{{ found.name }}: what privacy costs"

_BODY = """<h1>{{ found.name }}: what privacy costs</h1>
<p>Noise protects shoppers and blurs what is learnt. This page shows how much is left of the gain from
learning together, from the strictest promise to none.</p>
<p class="soft">{{ meaning }} Twice the epsilon is a much weaker promise.</p>
<p class="soft">{{ found.seeds | length }} seed{{ "s" if found.seeds | length != 1 }}. Every level is the
whole experiment through coordinator, clients and ledgers; alone is the strongest way to train alone, chosen
on validation rows. These are simulations, whose noise can be repeated.</p>
<figure><div class="wide">{{ figure }}</div>
<figcaption>A dot is the mean gain over training alone, the line its 95 % interval over merchants: above zero
they are better off together. Of fewer than ten merchants the interval is a hint only, and a single one has
none. From left to right there is less noise: ε is epsilon; “next to no noise” is the same recipe at an
epsilon of 10,000, which protects nobody; “no privacy” is the contract without its [privacy] table.
</figcaption>
</figure>
{% for task, lines in tasks.items() %}
<h3>{{ task | spoken }}: {{ lines[0][0].metric }}</h3>
<div class="wide"><table>
<tr><th>merchants</th><th class="text">level</th><th>alone</th><th>federated</th>
<th>gain</th><th>95 % interval</th></tr>
{% for point, cells, verdict in lines %}
<tr><td>{{ cells[1] }}</td><td class="text">{{ cells[2] }}</td>
<td>{{ cells[3] }}</td><td>{{ cells[4] }}</td>
<td class="{{ verdict }}">{{ cells[5] }}</td>
<td>{{ cells[6] }}</td></tr>
{% endfor %}
</table></div>
{% endfor %}
<h2>What moved</h2>
<dl>{% for level, words in found.sent.items() %}<dt>{{ level }}</dt><dd>{{ words }}</dd>
{% endfor %}</dl>
"""
