"""A sweep as a table for a terminal, and as a page with a picture."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from server.reporting.style import BLUE, GREY, INK, VERMILION, drawing, heading, panels, svg
from server.reporting.wording import NOTHING, number, spoken

from .. import study_page
from .plan import said
from .table import Line, Results, Value

_ROOM = 12
"""Characters of a value below an axis."""


def table(found: Results) -> Table:
    """Return the points in the order of their scores, the best first."""
    drawn = Table(title=f"{found.name}: * best, ≈ not told from it", title_justify="left")
    for column in columns(found):
        drawn.add_column(column, justify="right")
    for position in ordered(found):
        style = "bold" if position == found.best else ""
        drawn.add_row(*map(Text, cells(found, position)), style=style)
    return drawn


def answer(found: Results) -> str:
    """Return in words which point is best, how that was decided, and how sure it is."""
    if found.best is None:
        return "no point could be trained and judged with every seed."
    best = ", ".join(f"{key} = {said(v)}" for key, v in found.lines[found.best].values.items())
    chosen = f"{best} is best, chosen on validation rows alone; test rows had no say."
    rivals = len(found.lines) - 1
    if not rivals:
        return chosen
    if len(found.seeds) < 2:
        return f"{chosen} One seed does not tell how sure that is."
    tied = len(found.tied)
    sure = f"{len(found.seeds)} seeds do not tell {tied} of the {rivals} others from it"
    return f"{chosen} {sure if tied else f'{len(found.seeds)} seeds tell it from all others'}."


def ordered(found: Results) -> list[int]:
    """Return the positions of the points, the best score first, those without one last."""
    scores = {i: line.score.mean for i, line in enumerate(found.lines) if line.score is not None}
    return [*sorted(scores, key=scores.__getitem__), *(i for i in range(len(found.lines)) if i not in scores)]


def columns(found: Results) -> list[str]:
    """Return what the cells of a line are."""
    tasks = [f"{spoken(task)}: {measure}" for task, measure in found.measures.items()]
    return [*found.lines[0].values, "validation score", "over the best", *tasks]


def cells(found: Results, position: int) -> list[str]:
    """Return one line of the table; a failed point says why at the end."""
    line = found.lines[position]
    mark = " *" if position == found.best else " ≈" if position in found.tied else ""
    values = [said(value) for value in line.values.values()]
    tasks = [_text(line.tasks.get(task)) for task in found.measures]
    return [*values, f"{_text(line.score)}{mark}", _text(line.behind), *tasks]


def failures(found: Results) -> list[str]:
    """Return why points have no model, in words."""
    return [
        f"{', '.join(f'{k} = {said(v)}' for k, v in line.values.items())}, seed {seed}: {why}"
        for line in found.lines
        for seed, why in line.failed.items()
    ]


def _text(value: Value | None) -> str:
    if value is None:
        return NOTHING
    spread = "" if value.high is None else f" ± {value.high - value.mean:.3f}"
    return f"{number(value.mean)}{spread}"


def draw(found: Results) -> Figure:
    """Draw the score against every key of which there are several values: a dot a point."""
    keys = [key for key in found.lines[0].values if len(_values(found.lines, key)) > 1]
    with drawing():
        figure, grid = panels(len(keys), most=2, height=2.4)
        heading(figure, "Loss on validation rows over that of the best constant, less is better")
        for axes, key in zip(grid, keys, strict=True):
            _panel(axes, key, found)
    return figure


def _values(lines: Sequence[Line], key: str) -> list[str]:
    return list(dict.fromkeys(said(line.values[key]) for line in lines))


def _panel(axes: Axes, key: str, found: Results) -> None:
    values = _values(found.lines, key)
    for position, line in enumerate(found.lines):
        if line.score is None:
            continue
        x = values.index(said(line.values[key]))
        best, tied = position == found.best, position in found.tied
        colour = BLUE if best else INK if tied else GREY
        if line.score.low is not None and line.score.high is not None:
            axes.vlines(x, line.score.low, line.score.high, colour, alpha=0.5)
        axes.plot([x], [line.score.mean], "D" if best else "o", color=colour, markersize=6 if best else 4)
    axes.axhline(1.0, color=VERMILION, linewidth=0.8)
    axes.set_xticks(range(len(values)), [value[:_ROOM] for value in values], fontsize="small")
    axes.set_title(key)
    axes.grid(axis="y")


def write_page(found: Results, path: Path) -> None:
    """Replace the file at `path` by one self-contained page; it loads nothing and runs nothing."""
    varied = any(len(_values(found.lines, key)) > 1 for key in found.lines[0].values)
    study_page.write(
        path,
        _TITLE,
        _BODY,
        found=found,
        answer=answer(found),
        figure=Markup(svg(draw(found), "sweep")) if varied else "",
        columns=columns(found),
        rows=[(position == found.best, cells(found, position)) for position in ordered(found)],
        failures=failures(found),
    )


_TITLE = "{{ found.name }}: a sweep"

_BODY = """<h1>{{ found.name }}: {{ found.lines | length }} points</h1>
<p class="answer">{{ answer }}</p>
<p class="soft">{{ found.seeds | length }} seed{{ "s" if found.seeds | length != 1 }}, {{ found.where }},
served: {{ found.served }}. The validation score is the geometric mean over tasks of the loss over that of the
best constant, a mean over merchants; choices of items are left out of it. Tasks are measured on test rows,
which nothing was chosen by; so their numbers at the best point are honest, and looking for the best test
number in the table would not be. ± is half a 95 % interval over seeds, not over merchants. Points with
another market or other labels are judged on other rows than the rest.</p>
{% if figure %}<figure><div class="wide">{{ figure }}</div>
<figcaption>A dot is a point of the grid, the line its interval over seeds. The diamond is the best point,
dark dots are points that the seeds do not tell from it; the orange line is the best constant.</figcaption>
</figure>{% endif %}
<div class="wide"><table>
<tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for best, cells in rows %}
<tr{% if best %} class="all"{% endif %}>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p class="soft">* the best on validation rows; ≈ not told from it.</p>
{% if failures %}<h2>Without a model</h2>
<ul>{% for failure in failures %}<li>{{ failure }}</li>{% endfor %}</ul>{% endif %}
"""
