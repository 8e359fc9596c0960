"""What `fedbazaar-audit attacks` does."""

import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from shared_model import files

from . import ATTACKS
from .outcome import Outcome
from .page import as_json, page, table


def run(
    *, epsilon: float, seed: int, json_file: Path | None, html_file: Path, console: Console | None = None
) -> None:
    """Run every attack, print a table, write the page, and the figures where asked.

    Raises:
        OSError: A file cannot be written.
    """
    console = console or Console(emoji=False, width=None if sys.stdout.isatty() else 120)
    torch.set_num_threads(1)  # with two on a busy machine everything takes many times as long
    outcomes = _all(epsilon, seed, console)
    console.print(table(outcomes))
    if json_file is not None:
        content = json.dumps(as_json(outcomes, epsilon=epsilon, seed=seed), indent=2)
        files.write(json_file, f"{content}\n".encode(), durable=False)
    command = f"fedbazaar-audit attacks --epsilon {epsilon:g} --seed {seed}"
    files.write(html_file, page(outcomes, epsilon=epsilon, command=command).encode(), durable=False)
    console.print(f"Page: {html_file}", soft_wrap=True)


def _all(epsilon: float, seed: int, console: Console) -> tuple[Outcome, ...]:
    columns = TextColumn("{task.description:<12}"), BarColumn(), TimeElapsedColumn()
    found: list[Outcome] = []
    with Progress(*columns, console=console) as progress:
        for name, attack in ATTACKS.items():
            task = progress.add_task(name, total=1.0)
            found += attack(
                epsilon=epsilon,
                seed=seed,
                progress=lambda done, t=task: progress.update(t, completed=done),  # type: ignore[misc]
            )
            progress.update(task, completed=1.0)
    return tuple(found)
