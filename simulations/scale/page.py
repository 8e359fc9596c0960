"""A scale study as JSON, as a table for a terminal, and as a page with pictures."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from server.reporting.style import BLUE, GREEN, ORANGE, PURPLE, drawing, heading, panels, svg
from server.reporting.wording import NOTHING, number, spoken
from shared_model import files

from .. import study_page
from ..parallel import Progress, together
from ..runs.environment import environment
from . import work
from .plan import Plan
from .work import Size

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE)


@dataclass(frozen=True, kw_only=True)
class Results:
    """All of a scale study; what a clock showed is in each size's `measured`."""

    name: str
    command: str
    environment: Mapping[str, str]
    seed: int
    rounds: int
    judged: int
    sizes: tuple[Size, ...]


def run(plan: Plan, file: Path, out: Path, command: str, progress: Progress) -> Results:
    """Run every size that is missing, each in a process of its own, one at a time (errors: `work.run`)."""
    places = {merchants: out / "sizes" / f"{merchants}.json" for merchants in plan.scale.merchants}
    calls = [partial(work.run, file, merchants, place) for merchants, place in places.items()]
    for done, call in enumerate(calls):  # a fresh process each time, for the sake of its peak
        progress("sizes", done, len(calls))
        together([call], workers=1, stage=f"{plan.scale.merchants[done]} merchants", progress=progress)
    progress("sizes", len(calls), len(calls))
    return Results(
        name=plan.name,
        command=command,
        environment=environment(),
        seed=plan.scale.seed,
        rounds=plan.federation.federation.rounds,
        judged=min(plan.scale.judged, *plan.scale.merchants),
        sizes=tuple(work.read(place) for place in places.values()),
    )


def write(found: Results, path: Path) -> None:
    """Replace the file at `path` by the results as JSON, wholly or not at all."""
    files.write(path, json.dumps(asdict(found), indent=1).encode(), durable=False)


def columns(found: Results) -> list[str]:
    """Return what the cells of a line are."""
    losses = [f"{spoken(task)}: loss" for task in found.sizes[0].losses]
    return [
        "merchants",
        "in a round",
        "training rows",
        "s to draw",
        "s a round",
        "ms a merchant",
        "GB, peak",
        *losses,
    ]


def cells(size: Size) -> list[str]:
    """Return one line of the table."""
    measured = size.measured
    each = measured.per_merchant(size.asked)
    return [
        f"{size.merchants:,}",
        f"{size.asked:,}",
        f"{size.rows:,}",
        f"{measured.drawing:.2f}",
        f"{each * size.asked:.3g}",
        f"{1000 * each:.3g}",
        f"{measured.peak / 1e9:.2f}",
        *(number(loss) for loss in size.losses.values()),
    ]


def table(found: Results) -> Table:
    """Return a line for every size."""
    drawn = Table(title=found.name, title_justify="left")
    for column in columns(found):
        drawn.add_column(column, justify="right")
    for size in found.sizes:
        drawn.add_row(*map(Text, cells(size)))
    return drawn


def answer(found: Results) -> str:
    """Return in words how time and memory grow from the smallest size to the largest."""
    few, many = (choose(found.sizes, key=lambda s: s.merchants) for choose in (min, max))
    first, last = (size.measured.per_merchant(size.asked) for size in (few, many))
    grown = (many.measured.peak - few.measured.peak) / 1e9
    return (
        f"From {few.merchants:,} to {many.merchants:,} merchants, one round of one merchant takes "
        f"{last / first:.2f} times as long, and memory grows by {grown:.2f} GB."
    )


def draw(found: Results) -> Figure:
    """Draw the time of a merchant's round, memory and losses against the number of merchants."""
    x = [size.merchants for size in found.sizes]
    with drawing():
        figure, grid = panels(3, most=3, height=2.3)
        heading(figure, "From few merchants to many")
        each = [1000 * size.measured.per_merchant(size.asked) for size in found.sizes]
        _line(grid[0], x, {"": each}, "ms of a merchant's round")
        _line(grid[1], x, {"": [size.measured.peak / 1e9 for size in found.sizes]}, "GB, peak")
        losses = {
            spoken(task): [size.losses.get(task, float("nan")) for size in found.sizes]
            for task in found.sizes[0].losses
        }
        _line(grid[2], x, losses, "loss over the best constant's")
    return figure


def _line(axes: Axes, x: list[int], lines: Mapping[str, list[float]], title: str) -> None:
    for (label, y), colour in zip(lines.items(), _COLOURS * len(lines), strict=False):
        axes.plot(x, y, "o-", color=colour, markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_title(title)
    axes.grid(axis="y")
    if len(lines) > 1:
        axes.legend(fontsize="small")
    else:
        axes.set_ylim(bottom=0)


def write_page(found: Results, path: Path) -> None:
    """Replace the file at `path` by one self-contained page; it loads nothing and runs nothing."""
    trained = dict.fromkeys(f"{s.merchants:,}: {way}" for s in found.sizes for way in s.trained or (NOTHING,))
    study_page.write(
        path,
        _TITLE,
        _BODY,
        found=found,
        answer=answer(found),
        figure=Markup(svg(draw(found), "scale")),
        columns=columns(found),
        rows=[cells(size) for size in found.sizes],
        trained=list(trained),
    )


_TITLE = "{{ found.name }}: from few merchants to many"

_BODY = """<h1>{{ found.name }}: from few merchants to many</h1>
<p class="answer">{{ answer }}</p>
<p class="soft">{{ found.rounds }} rounds, seed {{ found.seed }}. Merchants are made up and live in memory;
the first ones are the same in every size. Seconds are of processor time, of one thread. The loss is that of
the released model on test rows of the first {{ found.judged }} merchants over that of each one's best
constant, without any private part: less is better.</p>
<figure><div class="wide">{{ figure }}</div></figure>
<div class="wide"><table>
<tr>{% for column in columns %}<th>{{ column }}</th>{% endfor %}</tr>
{% for cells in rows %}<tr>{% for cell in cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
<p>How merchants trained:</p>
<ul>{% for way in trained %}<li>{{ way }}</li>{% endfor %}</ul>
"""
