"""A schedule as a table for a terminal, and as a page with pictures."""

from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from rich.table import Table
from rich.text import Text

from server.reporting.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, drawing, heading, panels, svg
from server.reporting.wording import NOTHING, number, spoken

from .. import study_page
from .table import FINISHES, Line, Results

_COLOURS = (ORANGE, GREEN, PURPLE, INK)
_MOST_CURVES = 8
_BOUNDS = "90 % of them"


def table(found: Results) -> Table:
    """Return the points in the order of the grid, the recommended one in bold."""
    drawn = Table(title=f"{found.name}: {found.repeats} simulated trainings each", title_justify="left")
    for column in columns(found):
        drawn.add_column(column, justify="right", no_wrap=column == _BOUNDS)
    for position in range(len(found.lines)):
        style = "bold" if position == found.recommended else ""
        drawn.add_row(*map(Text, cells(found, position)), style=style)
    return drawn


def columns(found: Results) -> list[str]:
    """Return what the cells of a line are."""
    keys = [spoken(key) for key in found.lines[0].values]
    heard = [f"heard, {group}" for group in found.groups]
    loss = ["loss at the end"] if trained(found) else []
    return [*keys, "finished", "hours", _BOUNDS, "attempts lost", "stops", *heard, "GB", *loss]


def cells(found: Results, position: int) -> list[str]:
    """Return one line of the table."""
    line = found.lines[position]
    bounds = NOTHING if line.hours_low is None else f"{_hours(line.hours_low)} to {_hours(line.hours_high)}"
    loss = [number(line.curve[-1].loss) if line.curve else NOTHING] if trained(found) else []
    return [
        *(f"{value:g}" for value in line.values.values()),
        f"{line.finished:.0%}",
        _hours(line.hours),
        bounds,
        f"{line.lost:.1f}",
        f"{line.stops:.1f}",
        *(f"{line.heard[group]:.0%}" for group in found.groups),
        f"{line.gigabytes:.3g}",
        *loss,
    ]


def trained(found: Results) -> bool:
    """Whether any point was trained for real."""
    return any(line.curve for line in found.lines)


def answer(found: Results) -> str:
    """Return the recommendation in plain words."""
    if found.recommended is None:
        return (
            f"No point finishes in {FINISHES:.0%} of the simulated trainings. Lower the quorum, raise the "
            "deadline or the attempts, or say with restart_hours that somebody starts a stopped run again."
        )
    line = found.lines[found.recommended]
    chosen = " and ".join(f"{key} = {value:g}" for key, value in line.values.items())
    takes = (
        f"Take {chosen}: a training then takes about {_hours(line.hours)} hours "
        f"({_hours(line.hours_low)} to {_hours(line.hours_high)} in nine of ten)"
    )
    least = min(line.heard, key=line.heard.__getitem__)
    hears = f"and uses {line.heard[least]:.0%} of what the group {least}, the least heard, could give."
    if found.enough:
        return f"{takes} {hears}"
    return f"{takes} {hears} That is less than the {found.wanted:.0%} you want, which no point reaches."


def _hours(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def draw(found: Results) -> Figure:
    """Draw hours against who is heard, and where it was trained the loss against hours."""
    with drawing():
        figure, grid = panels(2 if trained(found) else 1, most=2, height=2.8)
        heading(figure, "How long it takes, and whom it hears")
        _scatter(grid[0], found)
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        if trained(found):
            _curves(grid[1], found)
    return figure


def _scatter(axes: Axes, found: Results) -> None:
    for group, colour in zip(found.groups, _COLOURS * len(found.groups), strict=False):
        known = [line for line in found.lines if line.hours is not None]
        x, y = [line.hours for line in known], [100 * line.heard[group] for line in known]
        axes.plot(x, y, "o", color=colour, markersize=4, label=group)  # type: ignore[arg-type]
    if found.recommended is not None and found.lines[found.recommended].hours is not None:
        axes.axvline(found.lines[found.recommended].hours or 0.0, color=BLUE, linewidth=1.0)
    axes.axhline(100 * found.wanted, color=GREY, linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("hours until the end")
    axes.set_title("answers used, % of those possible")
    axes.grid(axis="y")


def _curves(axes: Axes, found: Results) -> None:
    for position, line in enumerate(found.lines[:_MOST_CURVES]):
        best = position == found.recommended
        x, y = [look.hours for look in line.curve], [look.loss for look in line.curve]
        axes.plot(x, y, color=BLUE if best else GREY, linewidth=1.8 if best else 0.9, label=_label(line))
    axes.set_xlabel("simulated hours")
    axes.set_title("validation loss over that of the start")
    axes.grid(axis="y")


def _label(line: Line) -> str:
    return ", ".join(f"{value:g}" for value in line.values.values())


def write_page(found: Results, path: Path) -> None:
    """Replace the file at `path` by one self-contained page; it loads nothing and runs nothing."""
    shown = any(line.hours is not None for line in found.lines)
    study_page.write(
        path,
        _TITLE,
        _BODY,
        found=found,
        answer=answer(found),
        figure=Markup(svg(draw(found), "schedule")) if shown else "",
        columns=columns(found),
        rows=[(i == found.recommended, cells(found, i)) for i in range(len(found.lines))],
        trained=trained(found),
        engines={_label(line): line.engine for line in found.lines if line.engine},
    )


_TITLE = "{{ found.name }}: which deadline, which quorum"

_BODY = """<h1>{{ found.name }}: which deadline, which quorum</h1>
<p class="answer">{{ answer }}</p>
<div class="banner"><strong>Assumed, not measured.</strong> How fast merchants are and when they are online
was written into the file by whoever asked; no data were looked at. The answer is as good as that:
<ul>{% for line in found.assumed %}<li>{{ line }}</li>{% endfor %}</ul></div>
<p class="soft">{{ found.repeats }} simulated trainings of every point, with other merchants each time and the
same ones at every point. Rounds go as the coordinator's do: it waits until all it asked have answered or the
deadline is over, asks who is busy again, gives up who went offline, needs the quorum, and tries a round as
often as the contract says before the run stops.</p>
{% if figure %}<figure><div class="wide">{{ figure }}</div>
<figcaption>A dot is a point of the grid and a group of merchants; the blue line is the recommended point, the
grey one what you want.{% if trained %} Right: real trainings in which the coordinator heard only who answered
in simulated time; blue is the recommended point.{% endif %}</figcaption></figure>{% endif %}
<div class="wide"><table>
<tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for best, cells in rows %}
<tr{% if best %} class="all"{% endif %}>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="soft">Finished: trainings that came to their end. Attempts lost missed the quorum. Heard: answers
that were used, of those that a group would give if all its members were there in time, always.</p>
{% if engines %}<h2>How the real trainings ran</h2>
<p class="soft">Nobody's time is measured here, so merchants train together where a formula says that it is
faster.</p>
<dl>{% for label, said in engines.items() %}<dt>{{ label }}</dt><dd>{{ said | join("; ") }}</dd>
{% endfor %}</dl>{% endif %}
"""
