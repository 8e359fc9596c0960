"""The auditor's command, `fedbazaar-audit`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shared_model import command_line

app = typer.Typer(
    help="Check a privacy claim against evidence.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def _commands() -> None:
    """Check a privacy claim against evidence, without trusting the people who made it."""


@app.command("wire")
def wire_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Of a run, or of several below it.")],
    contract: Annotated[
        Path | None, typer.Option(help="The federation.toml; by default the nearest one above the messages.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print what left each merchant, from recorded messages; fail on anything outside the contract."""
    from . import wire, wire_table

    audits = [
        wire.audited(found, contract or wire.contract_of(found)) for found in wire.records_in(directory)
    ]
    if as_json:
        typer.echo(json.dumps([wire_table.as_json(audit) for audit in audits], indent=2))
    else:
        Console(emoji=False).print(*map(wire_table.shown, audits))
    if any(audit.findings for audit in audits):
        raise typer.Exit(1)


@app.command()
def attacks(
    epsilon: Annotated[float, typer.Option(min=1e-3, help="Budget of the private side.")] = 8.0,
    seed: Annotated[int, typer.Option(min=0, help="Of shoppers, training and noise.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures there.")] = None,
    html_file: Annotated[Path, typer.Option("--html", help="Write the page with the picture there.")] = Path(
        "attacks.html"
    ),
) -> None:
    """Attack made-up merchants, without privacy and with it; draw what was learnt. About a minute."""
    from .attacks import command

    command.run(epsilon=epsilon, seed=seed, json_file=json_file, html_file=html_file)


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    command_line.run(app)
