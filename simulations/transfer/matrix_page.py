"""The map of sources and targets as pictures, a page and a table."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.table import Table
from rich.text import Text

from server.reporting.style import INK, drawing, heading, svg
from server.reporting.wording import NOTHING, number, percent, spoken

from .. import study_page
from ..heat_map import Shade, heat_map
from ..statistics import Verdict
from .cells import ALL_OTHERS, HEADS, PRIOR, Cell, Task
from .groups import sizes
from .matrix import Matrix

SERVINGS = {PRIOR: "as it is", HEADS: "with the target's own heads"}
_STRONGEST = 20.0  # per cent
_SHOWN = 10


def counts(cells: Sequence[Cell]) -> dict[Verdict, int]:
    """Count the verdicts of cells whose source is one other group.

    What everybody else together brings along is no pair, and a group at itself is no transfer.
    """
    found: dict[Verdict, int] = {"gains": 0, "loses": 0, "cannot tell": 0}
    for cell in cells:
        if cell.source not in (cell.target, ALL_OTHERS):
            found[cell.verdict] += 1
    return found


def sentence(found: Matrix, task: str, serving: str) -> str:
    """Return how many pairs of one task gain and lose, and what everybody else together does."""
    mine = [c for c in found.cells if (c.task, c.serving) == (task, serving)]
    n = counts(mine)
    pairs = sum(n.values())
    together = [c.verdict for c in mine if c.source == ALL_OTHERS]
    return (
        f"{spoken(task)}, {SERVINGS[serving]}: {n['gains']} of {pairs} pairs are better than alone, "
        f"{n['loses']} worse, of {n['cannot tell']} we cannot tell. From all others together "
        f"{together.count('gains')} of {len(together)} targets are better, {together.count('loses')} worse."
    )


def negative(found: Matrix) -> list[Cell]:
    """Return the cells of negative transfer despite own heads, the strongest first."""
    worse = [c for c in found.cells if c.verdict == "loses" and c.serving == HEADS and c.percent is not None]
    return sorted(worse, key=lambda cell: cell.percent or 0.0)


def draw(found: Matrix, task: Task) -> Figure:
    """Draw one task: a panel a serving, sources down, targets across; a group at itself is framed."""
    targets, named = list(found.groups), sizes(found.groups)
    sources = [*targets, ALL_OTHERS]
    table = {(c.serving, c.source, c.target): c for c in found.cells if c.task == task.name}
    crowded = len(targets) > 6
    with drawing():
        across = 1 if crowded else 2
        height = 1.1 + 0.24 * len(sources)
        figure = Figure(figsize=(7.2, 0.5 + height * (2 if crowded else 1)))
        grid = figure.subplots(3 - across, across, squeeze=False).ravel()
        heading(figure, f"{spoken(task.name)}: gain over alone, % (source left, target above)")
        for axes, (serving, how) in zip(grid, SERVINGS.items(), strict=True):
            cells = [[_shade(table.get((serving, s, t))) for t in targets] for s in sources]
            columns = [_broken(named[t], 9 if crowded else 14) for t in targets]
            rows = [named.get(s, s) for s in sources]
            heat_map(axes, cells, rows=rows, columns=columns, strongest=_STRONGEST, size=6.0)
            for place in range(len(targets)):
                axes.add_patch(Rectangle((place, place), 1, 1, fill=False, edgecolor=INK, linewidth=1.2))
            axes.set_xlabel(f"served {how}", fontsize="small")
    return figure


def _shade(cell: Cell | None) -> Shade | None:
    return None if cell is None or cell.percent is None else Shade(cell.percent, cell.verdict)


def _broken(name: str, longest: int) -> str:
    """Return a name in lines of about so many letters, broken where it has a sign or a space."""
    lines = [""]
    for part in name.replace("_", "_\n").replace("-", "-\n").replace(" ", " \n").split("\n"):
        if lines[-1] and len(lines[-1] + part) > longest:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def table(found: Matrix) -> Table:
    """Return how many pairs gain and lose, task by task, for a terminal."""
    drawn = Table(title=f"{found.name}: from source to target, against alone", title_justify="left")
    for column in (
        "task",
        "served",
        "pairs",
        "better",
        "worse",
        "cannot tell",
        "all others: better",
        "worse",
    ):
        drawn.add_column(column, justify="left" if column in ("task", "served") else "right")
    for task in found.tasks:
        for serving, how in SERVINGS.items():
            mine = [c for c in found.cells if (c.task, c.serving) == (task.name, serving)]
            n = counts(mine)
            together = [c.verdict for c in mine if c.source == ALL_OTHERS]
            numbers = [sum(n.values()), n["gains"], n["loses"], n["cannot tell"]]
            numbers += [together.count("gains"), together.count("loses")]
            drawn.add_row(*map(Text, (spoken(task.name), how, *map(str, numbers))))
    return drawn


def write_page(found: Matrix, path: Path) -> None:
    """Replace the file at `path` by one self-contained page; it loads nothing and runs nothing."""
    worse = negative(found)
    study_page.write(
        path,
        _TITLE,
        _BODY,
        filters={"spoken": spoken},
        found=found,
        figures=[(task, Markup(svg(draw(found, task), f"matrix-{task.name}"))) for task in found.tasks],
        sentences=[sentence(found, task.name, serving) for task in found.tasks for serving in SERVINGS],
        negative=[(cell, _cells(cell)) for cell in worse[:_SHOWN]],
        more=max(len(worse) - _SHOWN, 0),
        lines=[
            (cell, SERVINGS[cell.serving], _cells(cell), cell.verdict)
            for cell in found.cells
            if cell.verdict != "cannot tell"
        ],
        all_others=ALL_OTHERS,
        several={name: members for name, members in found.groups.items() if len(members) > 1},
    )


def _cells(cell: Cell) -> tuple[str, ...]:
    between = NOTHING if cell.low is None else f"{percent(cell.low)} to {percent(cell.high)}"
    return number(cell.alone), number(cell.value), percent(cell.percent), between


_TITLE = "{{ found.name }}: who teaches whom"

_BODY = """<h1>{{ found.name }}: who teaches whom</h1>
<p>A model is trained on the rows of one {{ found.by }} alone, the source, and served at another, the
target: as
it is, which is a first day, and with the target's own heads fitted on its rows. Each cell is the gain
over the
best way to train alone at the target, on the same test rows.</p>
<ul>{% for sentence in sentences %}<li>{{ sentence }}</li>{% endfor %}</ul>
<p class="soft">{{ found.seeds | length }} seed{{ "s" if found.seeds | length != 1 }}. The rows of a
source lie in one place: no bytes move and nothing is noised, so a cell says what the source knows, whatever
the contract says of privacy. “All
others” is everybody but the target's own group. A framed cell is a group at itself: no transfer, and not
judged.
Of several merchants every test row counts once.</p>
<p class="soft">A triangle, up for better and down for worse, marks what the target's test rows show
clearly: of
all triangles of one way to serve, over all tasks, at most 5 % are false on average (Benjamini and
Hochberg 1995,
on Student's t over shoppers). Bounds in the tables are at 95 % of each cell by itself.</p>
{% for task, figure in figures %}
<figure><div class="wide">{{ figure }}</div><figcaption>{{ task.name | spoken }}: {{ task.metric }}. Alone is
{{ task.alone_method }}. Blue is better than alone, orange worse; beyond 20 % colours do not
change.</figcaption></figure>
{% endfor %}
<h2>Negative transfer</h2>
{% if negative %}
<p>Worse than alone although the target fitted heads of its own, the strongest first.</p>
<div class="wide"><table>
<tr><th class="text">task</th><th class="text">source</th><th class="text">target</th><th>alone</th>
<th>from source</th><th>gain</th><th>95 % bounds</th></tr>
{% for cell, cells in negative %}
<tr><td class="text">{{ cell.task | spoken }}</td><td class="text">{{ cell.source }}</td>
<td class="text">{{ cell.target }}</td><td>{{ cells[0] }}</td><td>{{ cells[1] }}</td>
<td class="loses">{{ cells[2] }}</td><td>{{ cells[3] }}</td></tr>
{% endfor %}
</table></div>
{% if more %}<p class="soft">{{ more }} more in the table of all marked cells.</p>{% endif %}
{% else %}<p>No cell is clearly worse than alone once the target fitted heads of its own.</p>{% endif %}
<details><summary>All marked cells; matrix.json has the others too</summary><div class="wide"><table>
<tr><th class="text">task</th><th class="text">source</th><th class="text">target</th><th
class="text">served</th>
<th>test rows</th><th>shoppers<br>or items</th><th>alone</th><th>from source</th><th>gain</th>
<th>95 % bounds</th></tr>
{% for cell, how, cells, verdict in lines %}
<tr><td class="text">{{ cell.task | spoken }}</td><td class="text">{{ cell.source }}</td>
<td class="text">{{ cell.target }}</td><td class="text">{{ how }}</td><td>{{ cell.rows }}</td>
<td>{{ cell.shoppers }}</td><td>{{ cells[0] }}</td><td>{{ cells[1] }}</td>
<td class="{{ verdict }}">{{ cells[2] }}</td><td>{{ cells[3] }}</td></tr>
{% endfor %}
</table></div></details>
{% if several %}<h2>Who is in which group</h2>
<dl>{% for name, members in several.items() %}<dt>{{ name }}</dt><dd>{{ members | join(", ") }}</dd>
{% endfor %}</dl>{% endif %}
"""
