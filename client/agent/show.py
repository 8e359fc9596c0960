"""Prints what an agent tells its owner, for a person at a terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared_model.privacy.words import NOT_PROTECTED

_SERVED = {
    "federated": "the federated model",
    "alone": "the own model",
    "fine_tuned": "a fine-tuned model",
    "ditto": "a personal model",
    "mixture": "federated and own, mixed",
    "prior": "the release as it is",
    "floor": "bought before, then popular",
}


def show(status: Mapping[str, Any], console: Console) -> None:
    """Print a status: that of the agent, or where it is down what the files tell (`agent_up` says which)."""
    console.print(Group(*_parts(status)))


def show_served(adopted: Mapping[str, Any], console: Console) -> None:
    """Print what an adoption made of every task, and why."""
    console.print(_served(adopted))


def _parts(status: Mapping[str, Any]) -> Iterable[RenderableType]:
    yield _headline(status)
    if status["agent_up"]:
        yield Text(_at_work(status["at_work"]))
    yield _trainings(status["trainings"])
    if status["privacy"] is not None:
        yield Text(_privacy(status["privacy"]))
    if status["adopted"] is None:
        yield Text("Nothing was adopted yet: nothing is served.")
    else:
        yield _served(status["adopted"])
    if status["refusals"]:
        yield _refusals(status["refusals"])
    else:
        yield Text("Nothing was refused.")


def _headline(status: Mapping[str, Any]) -> Text:
    name = status["merchant"]
    if not status["agent_up"]:
        return Text(f"{name}: the agent is down; this is what its files tell.", style="bold red")
    tasks = ", ".join(status["tasks"]) or "no common task"
    told = f"process {status['process']}, since {status['started']}; tier {status['tier']}; {tasks}"
    return Text(f"{name}: the agent is up ({told})", style="bold")


def _at_work(job: Mapping[str, Any] | None) -> str:
    if job is None:
        return "It waits for the coordinator."
    verb = {"train": "trains", "adopt": "adopts"}[job["kind"]]
    return f"It {verb} round {job['round']} of {job['lineage']}, since {job['since']}."


def _trainings(trainings: Iterable[Mapping[str, Any]]) -> RenderableType:
    table = _table("Answered", "training", "rounds", "the last one", "at")
    for training in trainings:
        table.add_row(*_cells(training, "lineage", "rounds", "last_round", "at"))
    return table if table.row_count else Text("No round was answered yet.")


def _privacy(told: Mapping[str, Any]) -> str:
    if not told["on"]:
        return f"The contract trains {NOT_PROTECTED}."
    if told["receives"]:
        return "It only receives: nothing about a shopper leaves, and no budget is spent."
    total = "nobody can say how much" if told["total"] is None else f"{told['total']:.3f}"
    cap = "" if told["cap"] is None else f"; {total} of its own cap of {told['cap']:g}"
    more = told["rounds_left"]
    left = f"{more} more {'rounds fit' if more > 1 else 'round fits'}" if more else "nothing is left"
    return (
        f"Ledger: epsilon {told['spent']:.3f} of {told['promised']:g} is spent, at delta "
        f"{told['delta']:g}{cap}; {left}."
    )


def _served(adopted: Mapping[str, Any]) -> Table:
    title = f"Served, since round {adopted['round']} of {adopted['lineage']} was adopted at {adopted['at']}"
    table = _table(
        title, "task", "served", "could be served", "better by, a row", "sure by", "validation rows"
    )
    for task, found in adopted["tasks"].items():
        served = Text(task), _SERVED.get(found["choice"], found["choice"])
        for name, rival in (found.get("rivals") or {"": None}).items():
            table.add_row(*served, *_evidence(name, rival, found))
            served = Text(""), ""
    return table


def _evidence(name: str, rival: Mapping[str, Any] | None, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Say by how much something else did better than what is there by default, and how sure that is."""
    if rival is None or rival["advantage"] is None:
        return _SERVED.get(name, name), "no evidence", "", "0" if rival is None else str(rival["rows"])
    error = "" if rival["standard_error"] is None else f" ± {rival['standard_error']:.4f}"
    sure = "" if rival["pooled"] is None else f"{rival['pooled']:.1f} errors of {found['needed']:.1f} needed"
    return _SERVED.get(name, name), f"{rival['advantage']:.4f}{error}", sure, str(rival["rows"])


def _refusals(refusals: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("Last refusals", "at", "asked", "code", "reason")
    for refusal in refusals:
        table.add_row(*_cells(refusal, "at", "call", "code", "reason"))
    return table


def _cells(line: Mapping[str, Any], *keys: str) -> list[Text]:
    """Text, not markup: a reason may hold anything."""
    return [Text(str(line[key])) for key in keys]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column)
    return table
