"""One merchant's question as a page and in a terminal; the page loads nothing and runs nothing."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from server.reporting import merchant_plots
from server.reporting.style import svg
from server.reporting.wording import MARKS, NOTHING, axis, number, percent, spoken
from shared_model.privacy.words import meaning

from .. import study_page
from . import plots
from .report import Contribution, Cost, Gain, Joined, Line
from .template import BODY, TITLE
from .verdicts import of_cost


def ordered(found: Joined) -> list[str]:
    """Return the levels, the strictest first, no privacy last."""
    epsilon = {cost.level: math.inf if cost.epsilon is None else _asked(cost) for cost in found.costs}
    return sorted(epsilon, key=epsilon.__getitem__)


def terminal(found: Joined) -> Iterator[RenderableType]:
    """Yield the answer, the verdicts, and the tables of gains and of costs."""
    yield Text(found.answer, style="bold")
    for sentence in (*found.sentences, of_cost(_cost(found, found.agreed))):
        yield Text(f"- {sentence}")
    drawn = Table(title=f"\n{found.merchant}: joining against alone", title_justify="left")
    for column in ("task", "level", "alone", "joined", "pooled", "gain", _bounds_of(found), "verdict"):
        drawn.add_column(column, justify="left" if column in ("task", "level", "verdict") else "right")
    for line in _lines(found):
        drawn.add_row(*map(Text, (spoken(line.task), line.level, *_cells(line))))
    yield drawn
    costs = Table(title=f"\n{found.merchant}: what it costs, a training", title_justify="left")
    for column in ("level", *_COSTS):
        costs.add_column(column, justify="left" if column == "level" else "right")
    for level in ordered(found):
        costs.add_row(*map(Text, (level, *_price(_cost(found, level)))))
    yield costs


def write_page(found: Joined, path: Path) -> None:
    """Replace the file at `path` by the page of `found`, wholly or not at all."""
    by_task = [
        (task, [(line, _cells(line), _class(line.gain)) for line in _lines(found) if line.task == task.name])
        for task in found.tasks
    ]
    epsilons = [(cost.epsilon, cost.delta) for cost in found.costs if cost.level == found.agreed]
    study_page.write(
        path,
        TITLE,
        BODY,
        filters={"spoken": spoken, "axis": axis},
        found=found,
        price=of_cost(_cost(found, found.agreed)),
        tasks=[(task, lines) for task, lines in by_task if lines],
        bounds=_bounds_of(found),
        figures=[(Markup(svg(figure, name)), guide) for name, figure, guide in _figures(found)],
        taking_part=[
            (spoken(one.task), number(one.receiving), number(one.joined), *_gain(one.gain), _class(one.gain))
            for one in found.taking_part
        ],
        costs=[(level, _price(_cost(found, level))) for level in ordered(found)],
        cost_columns=_COSTS,
        contributions=[
            (one, number(one.without), number(one.joined), *_gain(one.gain), _class(one.gain))
            for one in _strongest_first(found.contributions)
        ],
        meanings=[meaning(e, d) for e, d in epsilons if e is not None and d is not None and e > 0],
    )


def _figures(found: Joined) -> Iterator[tuple[str, Figure, str]]:
    """Yield name, figure and reading guide."""
    yield "gains", plots.gains(found, ordered(found)), _GUIDES["gains"]
    if found.curve:
        diamond = _DIAMOND if found.taking_part else ""
        yield "curves", plots.curves(found), _GUIDES["curves"] + diamond
    shown = found.tasks, found.merchants, found.cells
    yield "everybody", merchant_plots.gain_by_merchant(*shown), _GUIDES["everybody"]
    if found.left_out > 1:
        yield "contributions", plots.contributions(found.contributions), _GUIDES["contributions"]


_GUIDES = {
    "gains": "A dot is the gain over training alone on this merchant's test rows, the triangle that of "
    "pooling everybody's rows, which no federation may do. Lines are the bounds, which hold for all tasks of "
    "a level together; a dot without one has too few shoppers. A coloured one does not touch zero. Scales "
    "differ from panel to panel.",
    "curves": "The metric on the same test rows with the first of the merchant's orders: alone, and served "
    "of what the others released without it.",
    "everybody": "Every merchant's gain over alone, at the level of the contract. A triangle marks what its "
    "test rows show clearly; of all triangles together at most 5 % are false on average "
    "(Benjamini and Hochberg 1995).",
    "contributions": "A row is one federation without that merchant. A triangle marks what the others' test "
    "rows show clearly; of all triangles together at most 5 % are false on average. A number without a "
    "triangle is not to be read.",
}
"""How to read each figure."""
_DIAMOND = " The diamond is what it is served when it takes part."
_COSTS = (
    "role", "rounds", "down, a round", "up, a round", "bytes in all", "s a round", "s to open", "s to adopt",
    "epsilon",
)  # fmt: skip


def _lines(found: Joined) -> list[Line]:
    tasks, levels = [task.name for task in found.tasks], ordered(found)
    return sorted(found.lines, key=lambda line: (tasks.index(line.task), levels.index(line.level)))


def _cells(line: Line) -> tuple[str, ...]:
    values = (number(line.alone), number(line.joined), number(line.pooled))
    return (*values, *_gain(line.gain), f"{MARKS[line.gain.verdict]} {line.gain.verdict}")


def _gain(gain: Gain) -> tuple[str, str]:
    between = (
        NOTHING if gain.low is None or gain.high is None else f"{percent(gain.low)} to {percent(gain.high)}"
    )
    return percent(gain.percent), between


def _bounds_of(found: Joined) -> str:
    return f"{100 * found.confidence:g} % bounds"


def _class(gain: Gain) -> str:
    return gain.verdict.replace(" ", "-")


def _cost(found: Joined, level: str) -> Cost:
    return next(cost for cost in found.costs if cost.level == level)


def _asked(cost: Cost) -> float:
    """The epsilon of a level by its name, since a merchant that only receives spends none."""
    return float(cost.level.removeprefix("epsilon "))


def _price(cost: Cost) -> tuple[str, ...]:
    each = (f"{cost.bytes_down:,}", f"{cost.bytes_up:,}") if cost.rounds else (NOTHING, NOTHING)
    return (
        cost.role,
        str(cost.rounds),
        *each,
        f"{cost.bytes_in_all:,}",
        f"{cost.seconds.round:.4f}" if cost.rounds else NOTHING,
        f"{cost.seconds.open:.2f}",
        f"{cost.seconds.adopt:.2f}",
        NOTHING if cost.epsilon is None else f"{cost.epsilon:.3g}",
    )


def _strongest_first(found: Sequence[Contribution]) -> list[Contribution]:
    """The clear ones first, then by how much they add."""
    order = {"gains": 0, "loses": 1, "cannot tell": 2}
    return sorted(found, key=lambda one: (order[one.gain.verdict], -(one.gain.percent or 0.0)))
