"""Learning curves of merchants that join later, as a picture, a page and a table."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from server.reporting.style import BLUE, GREEN, GREY, ORANGE, PURPLE, drawing, heading, panels, svg
from server.reporting.wording import NOTHING, number, says, signed, spoken

from .. import study_page
from .curves import (
    ALONE,
    ENOUGH,
    EVERYBODY,
    FEW,
    HEADS,
    HINDSIGHT,
    MANY,
    PRIOR,
    TUNED,
    WARM,
    Curve,
    HeadStart,
    Point,
    Transfer,
    said,
)

_LOOK = {
    ALONE: (ORANGE, "o-", 1.8),
    HINDSIGHT: (ORANGE, "--", 1.0),
    WARM: (BLUE, "o-", 1.8),
    PRIOR: (GREY, "--", 1.0),
    HEADS: (GREEN, "--", 1.0),
    TUNED: (PURPLE, "--", 1.0),
}
"""Colour, marks and width of a line."""


def draw(found: Transfer) -> Figure:
    """Draw the measure on test rows against the number of orders: a panel a task, a line a method.

    The bars on the warm start are the 95 % interval of its gain over alone at the same number of orders.
    """
    group = ENOUGH if any(point.group == ENOUGH for point in found.points) else EVERYBODY
    with drawing():
        figure, grid = panels(len(found.curves), most=3, height=3.0)
        heading(figure, "A merchant that joins later, as its orders come in")
        for axes, curve in zip(grid, found.curves, strict=True):
            mine = [p for p in found.points if (p.task, p.group) == (curve.task, group)]
            _panel(axes, curve, mine)
        handles, labels = grid[0].get_legend_handles_labels() if grid else ([], [])
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _panel(axes: Axes, curve: Curve, points: Sequence[Point]) -> None:
    orders = list(dict.fromkeys(point.orders for point in points))
    methods = list(dict.fromkeys(point.method for point in points))
    lines = {method: [p for p in points if p.method == method] for method in methods}
    for method, line in lines.items():
        colour, marks, width = _LOOK[method]
        at = [orders.index(p.orders) for p in line]
        axes.plot(
            at, [p.mean for p in line], marks, color=colour, label=method, linewidth=width, markersize=4
        )
    for alone, warm in zip(lines[ALONE], lines[WARM], strict=True):
        for low, high in _bounds(curve, alone, warm):
            axes.vlines(orders.index(warm.orders), low, high, BLUE, alpha=0.5)
    axes.set_xticks(range(len(orders)), [said(n) for n in orders])
    axes.set_xlabel("own orders")
    axes.set_title(f"{spoken(curve.task)}: {curve.metric}")
    axes.grid(axis="y")


def _bounds(curve: Curve, alone: Point, warm: Point) -> list[tuple[float, float]]:
    """Return between which values of the warm start the interval of its gain lies."""
    if warm.low_percent is None or warm.high_percent is None:
        return []
    sign = 1.0 if curve.higher_is_better else -1.0
    low, high = (
        alone.mean + sign * abs(alone.mean) * gain / 100 for gain in (warm.low_percent, warm.high_percent)
    )
    return [(low, high)]


def table(found: Transfer) -> Table:
    """Return the answer to the question, task by task, for a terminal."""
    drawn = Table(title=f"{found.name}: {_question()}", title_justify="left")
    left = ("task", "against")
    for column in (*left, "merchants", "better", f"alone, {MANY}", f"warm, {FEW}", "gain", "95 % interval"):
        drawn.add_column(column, justify="left" if column in left else "right")
    for one in found.head_starts:
        drawn.add_row(*map(Text, _cells(one)))
    return drawn


def _question() -> str:
    return f"warm-started with {FEW} orders against alone with {MANY}"


def _cells(one: HeadStart) -> tuple[str, ...]:
    return (
        spoken(one.task),
        one.against.removeprefix("alone: ") + (", the best in hindsight" if one.hindsight else ""),
        str(one.merchants),
        str(one.better),
        number(one.alone),
        number(one.warm),
        signed(f"{one.gain_percent:+.1f} %"),
        _interval(one.low_percent, one.high_percent),
    )


def _interval(low: float | None, high: float | None) -> str:
    return NOTHING if low is None or high is None else signed(f"{low:+.1f} to {high:+.1f} %")


def _row(point: Point) -> tuple[str, ...]:
    gain = point.method != ALONE
    return (
        point.method,
        said(point.orders),
        number(point.mean),
        signed(f"{point.gain_percent:+.1f} %") if gain else NOTHING,
        _interval(point.low_percent, point.high_percent) if gain else NOTHING,
    )


def write_page(found: Transfer, path: Path) -> None:
    """Replace the file at `path` by one self-contained page; it loads nothing and runs nothing."""
    groups: dict[tuple[str, str, int], list[tuple[tuple[str, ...], str]]] = {}
    for point in found.points:
        verdict = says(point.low_percent, point.high_percent) if point.method != ALONE else "cannot tell"
        key = (point.task, point.group, point.merchants)
        groups.setdefault(key, []).append((_row(point), verdict.replace(" ", "-")))
    study_page.write(
        path,
        _TITLE,
        _BODY,
        filters={"spoken": spoken},
        found=found,
        figure=Markup(svg(draw(found), "transfer")),
        question=_question(),
        head_starts=[(_cells(one), one.verdict.replace(" ", "-")) for one in found.head_starts],
        groups=groups,
        few=FEW,
        many=MANY,
    )


_TITLE = "{{ found.name }}: merchants that join later"

_BODY = """<h1>{{ found.name }}: merchants that join later</h1>
<p>{{ found.merchants }} merchants were left out of the training, in {{ found.folds }} folds: those of a
fold together, each fold with a federation of its own. Then each joined with its first orders: warm-started
from what the others had released, or alone.</p>
<p class="soft">{{ found.privacy }}</p>
<p class="soft">{{ found.seeds | length }} seed{{ "s" if found.seeds | length != 1 }}. Means over merchants on
the same test rows. “alone” is the strongest of linear models and networks, “warm” the best of the released
prior, of serving heads on it and of fine-tuning all of it; both are chosen for all merchants together, at
every number of orders, on validation rows. Intervals are over draws of merchants, each with one of its
seeds; of fewer than ten merchants they are a hint only.</p>
<figure><div class="wide">{{ figure }}</div>
<figcaption>The measure on test rows against the number of own orders, for merchants with {{ many }} or more
where there are any. Bars are the 95 % interval of the gain of “warm” over “alone” with the same orders.
</figcaption>
</figure>
<h2>{{ question | capitalize }}</h2>
<div class="wide"><table>
<tr><th class="text">task</th><th class="text">against</th><th>merchants</th><th>better</th>
<th>alone, {{ many }}</th><th>warm, {{ few }}</th><th>gain</th><th>95 % interval</th></tr>
{% for cells, verdict in head_starts %}
<tr><td class="text">{{ cells[0] }}</td><td class="text">{{ cells[1] }}</td>
{% for cell in cells[2:6] %}<td>{{ cell }}</td>{% endfor %}
<td class="{{ verdict }}">{{ cells[6] }}</td><td>{{ cells[7] }}</td></tr>
{% endfor %}
</table></div>
<p class="soft">The first line of a task is against the way to train alone that validation rows chose, the
second against the one that turned out best on test rows. Nobody could have chosen that one, so its gain is a
lower bound.</p>
{% for (task, group, merchants), lines in groups.items() %}
<h3>{{ task | spoken }}, {{ group }} ({{ merchants }})</h3>
<div class="wide"><table>
<tr><th class="text">method</th><th>orders</th><th>mean</th><th>gain over alone</th>
<th>95 % interval</th></tr>
{% for cells, verdict in lines %}
<tr><td class="text">{{ cells[0] }}</td><td>{{ cells[1] }}</td><td>{{ cells[2] }}</td>
<td class="{{ verdict }}">{{ cells[3] }}</td><td>{{ cells[4] }}</td></tr>
{% endfor %}
</table></div>
{% endfor %}
<h2>What moved, and which ways were taken</h2>
<dl><dt>what moved</dt><dd>{{ found.sent }}, in each federation</dd>
{% for curve in found.curves %}{% for kind, ways in curve.ways.items() %}
<dt>{{ curve.task | spoken }}, {{ kind }}</dt>
<dd>{% for n, way in ways.items() %}{{ n }}: {{ way }}{{ "; " if not loop.last }}{% endfor %}</dd>
{% endfor %}{% endfor %}</dl>
"""
