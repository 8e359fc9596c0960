"""Prints what `client.data.quality` found, for a person at a terminal."""

from collections.abc import Iterable, Mapping

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from .data.quality import LabelFacts, Quality
from .data.reading import TableReading, TaskStatus
from .data.split import PARTS


def show(quality: Quality, console: Console) -> None:
    """Print the report."""
    console.print(Group(*_parts(quality)))


def _parts(quality: Quality) -> Iterable[RenderableType]:
    yield Text(
        f"{quality.merchant}: {quality.shoppers} shoppers in training, tier {quality.tier}", style="bold"
    )
    yield Text(quality.privacy)
    yield _readings(quality.readings)
    yield _rows(quality.rows)
    yield _tasks(quality.status, quality.labels)
    yield _missing(quality.missing)
    yield _list("Looks as if it knew the answer", quality.suspicions, style="yellow")
    yield _list("Looks as if many persons were one shopper", quality.crowds, style="yellow")
    yield _list("Would be refused", quality.refusals, style="red")
    if not quality.refusals:
        yield Text("This data can take part. Nothing has left this machine.", style="green")


def _table(title: str, *columns: str, numbers: int) -> Table:
    """A table whose last `numbers` columns are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="right" if position >= len(columns) - numbers else "left")
    return table


def _readings(readings: Iterable[TableReading]) -> Table:
    table = _table("Rows read", "table", "read", "kept", "what was left out", numbers=0)
    for reading in readings:
        out = [f"{count} {reason}" for reason, count in reading.dropped.items()]
        out += [f"{count} unreadable values in {column}" for column, count in reading.unreadable.items()]
        out += reading.notes
        table.add_row(reading.table, f"{reading.rows:,}", f"{reading.kept:,}", escape("; ".join(out)))
    return table


def _rows(rows: Mapping[str, Mapping[str, int]]) -> Table:
    table = _table("Examples", "kind", *PARTS, numbers=3)
    for kind, counts in rows.items():
        table.add_row(kind, *(f"{counts[part]:,}" for part in PARTS))
    return table


def _tasks(status: Mapping[str, TaskStatus], labels: Mapping[str, LabelFacts]) -> Group:
    table = _table("Labels (their mean), and the score of a constant", "task", *PARTS, "constant", numbers=4)
    for name, facts in labels.items():
        score = facts.constant
        constant = f"{score.metric} {score.value:.3f}" if score else "-"
        table.add_row(name, *(_label_cell(facts, part) for part in PARTS), constant)
    off = [Text(f"  {name} is off: {s.reason}", style="yellow") for name, s in status.items() if not s.on]
    return Group(table, *off)


def _label_cell(facts: LabelFacts, part: str) -> str:
    mean = facts.mean[part]
    return f"{facts.rows[part]:,}" + (f" ({mean:.3f})" if mean is not None else "")


def _missing(missing: Mapping[str, float | None]) -> Table:
    table = _table("Missing values", "feature", "missing", numbers=1)
    for slot, share in missing.items():
        table.add_row(slot, "no such column" if share is None else f"{share:.1%}")
    return table


def _list(title: str, lines: Iterable[str], *, style: str) -> RenderableType:
    found = [Text(f"  {line}") for line in lines]
    return Group(Text(f"{title}:", style=f"bold {style}"), *found) if found else Text("", end="")
