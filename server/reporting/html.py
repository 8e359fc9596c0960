"""A result as one self-contained HTML page: inline styles and SVG, no scripts, nothing fetched."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.figure import Figure

from shared_model import files

from . import merchant_plots, plots, wording
from .results import Cell, Merchant, Result, Summary
from .style import svg
from .template import PAGE, environment


def write_report(result: Result, path: Path) -> None:
    """Replace the file at `path` by the page of `result`, wholly or not at all.

    Raises:
        OSError: The disk is full or not writable.
    """
    files.write(path, page(result).encode())


def page(result: Result) -> str:
    """Return the page of `result`; the same result gives the same page.

    Guarantees:
        Names from the result are escaped; the page loads nothing and runs nothing
        (`tests/server/test_reporting.py`).
    """
    overall = wording.overall(result)
    return (
        _environment()
        .from_string(PAGE)
        .render(
            result=result,
            answer=wording.answer(result),
            sentences=[wording.sentence(t, overall[t.name]) for t in result.tasks if t.name in overall],
            summaries={t.name: [s for s in result.summary if s.task == t.name] for t in result.tasks},
            cells=_cells_by_task(result),
            figures=[(_inline(figure, name, guide), guide) for name, figure, guide in _figures(result)],
            replies=wording.replies(result),
            sent=wording.sent(result.contract),
        )
    )


def _environment() -> Environment:
    return environment(
        number=wording.number,
        moment=lambda iso: f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M %Z}",
        short=lambda value: wording.NOTHING if value is None else wording.signed(f"{value:.4g}"),
        percent=wording.percent,
        spoken=wording.spoken,
        axis=wording.axis,
        interval=lambda line: wording.interval(line.low, line.high, line.alone),
        gain=lambda cell: wording.percent(wording.relative(cell.gain, cell.alone)),
        verdict_of=lambda line: wording.says(line.low, line.high),
        mark=wording.MARKS.__getitem__,
        dashed=lambda verdict: verdict.replace(" ", "-"),
    )


def _cells_by_task(result: Result) -> dict[str, list[tuple[Merchant, Cell]]]:
    found = {(cell.merchant, cell.task): cell for cell in result.cells}
    return {
        task.name: [
            (merchant, found[merchant.name, task.name])
            for merchant in wording.by_size(result.merchants)
            if (merchant.name, task.name) in found
        ]
        for task in result.tasks
    }


def _figures(result: Result) -> Iterator[tuple[str, Figure, str]]:
    """Yield name, figure and reading guide of every plot that the result has numbers for."""
    if result.summary:
        measured = [t for t in result.tasks if _has(result.summary, t.name)]
        yield "gain-by-task", plots.gain_by_task(measured, result.summary), _GUIDES["gain"]
        yield "methods", plots.methods_by_task(measured, result.summary), _GUIDES["methods"]
    if result.cells:
        shown = result.tasks, result.merchants, result.cells
        yield "gain-by-merchant", merchant_plots.gain_by_merchant(*shown), _GUIDES["merchants"]
        yield "gain-by-size", merchant_plots.gain_by_size(*shown), _GUIDES["size"]
    if any(r.validation for r in result.rounds):
        yield "validation", plots.validation_by_round(result.rounds), _GUIDES["validation"]


def _has(summaries: tuple[Summary, ...], task: str) -> bool:
    return any(s.task == task for s in summaries)


def _inline(figure: Figure, name: str, label: str) -> Markup:
    drawn = svg(figure, name)
    return Markup(drawn.replace("<svg ", Markup('<svg role="img" aria-label="{}" ').format(label), 1))


_GUIDES = {
    "gain": "A dot is the mean gain over the merchants of a group, the line its 95 % interval: right of zero "
    "they are better off together, and a coloured line does not touch zero.",
    "methods": "A row is a group of merchants; the closer the blue dot lies to the green triangle, the more "
    "of the benefit of pooling everybody's rows is had without pooling them.",
    "merchants": "A cell is one merchant's gain on one task in per cent; the triangle marks those that their "
    "own test rows show clearly, up for a gain and down for a loss.",
    "size": "A dot is one merchant; above the line it is better off together. A negative rank correlation "
    "means that smaller merchants gain more.",
    "validation": "The mean loss on merchants' validation rows after each round; a curve that still falls at "
    "its end would have liked more rounds.",
}
