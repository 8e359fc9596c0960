"""A result as tables for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from . import wording
from .results import Cell, Merchant, Result, Task, Verdict

_STYLES: dict[Verdict, str] = {"gains": "blue", "loses": "red", "cannot tell": "dim"}
_COLUMNS = ("orders", "alone", "federated", "pooled", "gain")


def report(result: Result) -> RenderableType:
    """Return what a console prints of `result`: a table per task, then a sentence per task and the answer."""
    overall = wording.overall(result)
    tables = [_table(task, result) for task in result.tasks if any(c.task == task.name for c in result.cells)]
    sentences = [wording.sentence(t, overall[t.name]) for t in result.tasks if t.name in overall]
    closing = [wording.answer(result), *sentences, wording.replies(result), result.privacy.text]
    return Group(*tables, *(Text(line) for line in closing))


def _table(task: Task, result: Result) -> Table:
    cells = {cell.merchant: cell for cell in result.cells if cell.task == task.name}
    table = Table(title=Text(f"{wording.spoken(task.name)}: {wording.axis(task)}"), title_justify="left")
    table.add_column("merchant", no_wrap=True)
    for column in _COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for merchant in wording.by_size(result.merchants):
        if merchant.name in cells:
            table.add_row(*_row(merchant, cells[merchant.name]))
    return table


def _row(merchant: Merchant, cell: Cell) -> list[Text]:
    numbers = (wording.number(value) for value in (cell.alone, cell.federated, cell.pooled))
    gain = wording.percent(wording.relative(cell.gain, cell.alone))
    said = Text(f"{wording.MARKS[cell.verdict]} {cell.verdict}", style=_STYLES[cell.verdict])
    return [*map(Text, (merchant.name, str(merchant.orders), *numbers, gain)), said]
