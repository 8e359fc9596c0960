"""The merchant's command, `fedbazaar-client`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shared_model import command_line, files
from shared_model.schema import load_federation

app = typer.Typer(
    help="One merchant's side of a federation: own data, own tasks, own predictions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Merchant = Annotated[Path, typer.Argument(help="The merchant's own file, merchant.toml.")]
Contract = Annotated[Path, typer.Option("--contract", help="The agreement, federation.toml.")]


@app.callback()
def _commands() -> None:
    """One merchant's side of a federation: own data, own tasks, own predictions."""


@app.command()
def check(
    merchant: Merchant,
    contract: Contract,
    report: Annotated[Path | None, typer.Option("--json", help="Write the report to this file too.")] = None,
) -> None:
    """Read the data and say what it is good for, before anything is sent anywhere.

    Exit code 1 means that this merchant would be refused as things stand.
    """
    from .check import show
    from .config import load_merchant
    from .data.dataset import prepare
    from .data.quality import inspect

    federation = load_federation(contract)
    config = load_merchant(merchant, federation)
    quality = inspect(prepare(config, federation), config, federation)
    show(quality, Console())
    if report is not None:
        files.write(report, json.dumps(asdict(quality), indent=2).encode(), durable=False)
    if quality.refusals:
        raise typer.Exit(1)


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    command_line.run(app)
