"""Prints a merchant's privacy ledger for a person at a terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared_model.privacy.words import meaning

from .spending import COSTS_NOTHING, Spending

_SHOWN = 12


def show(found: Sequence[Spending], console: Console) -> None:
    """Print what was spent, on what, and what is left."""
    if not found:
        console.print(
            "There is no ledger: no private training was charged here. If this merchant did train, its "
            "ledger was moved or deleted."
        )
    for ledger in found:
        console.print(Group(*_parts(ledger)))
    console.print(Text(COSTS_NOTHING, style="dim"))


def _parts(ledger: Spending) -> Iterable[RenderableType]:
    yield Text(str(ledger.file), style="bold")
    yield Text(
        f"Promised to each {ledger.unit} of this merchant. "
        f"{meaning(ledger.promised, ledger.delta, ledger.unit)}"
    )
    if ledger.simulated:
        yield Text(
            "Of a simulation: its noise can be repeated from the seed and protects nobody.", style="yellow"
        )
    if ledger.trainings:
        yield _trainings(ledger)
    else:
        yield Text("The ledger is empty: no private training was charged yet.")
    yield Text(
        f"Spent under this contract: epsilon {ledger.spent:.3f} of {ledger.promised:g}. {_left(ledger)}"
    )
    if ledger.checked:
        others = ", ".join(f"{name} {value:.3f}" for name, value in sorted(ledger.checked.items()))
        yield Text(
            f"Counted again by other accountants: {others}. These are upper bounds on the same cost, and "
            "less exact, so they may lie a little above the ledger's."
        )
    yield from _total(ledger)


def _total(ledger: Spending) -> Iterable[RenderableType]:
    """What everything in the ledger cost, where that is more than one contract or has a limit of its own."""
    if ledger.total is None:
        yield Text(f"Spent in all: {ledger.no_total}.", style="yellow")
    elif ledger.cap is not None:
        yield Text(f"Spent in all: epsilon {ledger.total:.3f}; this merchant's own cap is {ledger.cap:g}.")
    elif len({training.fingerprint for training in ledger.trainings}) > 1:
        yield Text(f"Spent in all, under every contract: epsilon {ledger.total:.3f}.")


def _left(ledger: Spending) -> str:
    if not ledger.rounds_left:
        return "Nothing is left: this merchant takes no more part in training, and goes on serving."
    return f"{ledger.rounds_left} more {'rounds fit' if ledger.rounds_left > 1 else 'round fits'}."


def _trainings(ledger: Spending) -> Table:
    table = Table(show_edge=False, title_justify="left")
    for column in ("contract", "training", "statistics", "rounds", "epsilon"):
        table.add_column(column, justify="left" if column in ("contract", "training") else "right")
    for training in ledger.trainings[-_SHOWN:]:
        table.add_row(
            training.fingerprint[:12],
            training.lineage[:32],
            str(training.statistics),
            str(training.rounds),
            f"{training.epsilon:.3f}",
        )
    return table
