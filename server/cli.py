"""The coordinator's command, `fedbazaar-server`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from shared_model import command_line
from shared_model.schema import Federation, load_federation

app = typer.Typer(
    help="Run a federation: agree, train, report.", no_args_is_help=True, pretty_exceptions_enable=False
)

_BYTES_PER_NUMBER = 4


@app.callback()
def _commands() -> None:
    """Run a federation: agree, train, report."""


@app.command()
def check(
    contract: Annotated[Path, typer.Argument(help="The federation.toml to check.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Validate a contract and say what it means: fingerprint, model, traffic, rounds."""
    facts = described(load_federation(contract))
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
    else:
        Console().print(_table(facts))


def described(federation: Federation) -> dict[str, Any]:
    """Return what a contract means, as JSON values.

    `bytes_per_round` is what one merchant receives and sends in a round, without the transport's own.
    """
    from shared_model import model

    terms = federation.federation
    shared = sum(array.size for array in model.initial_shared(federation, 0).values())
    return {
        "name": terms.name,
        "fingerprint": federation.fingerprint,
        "features": {name: feature.kind for name, feature in federation.features.items()},
        "tasks": {name: task.kind for name, task in federation.tasks.items()},
        "bottom": federation.bottom.architecture,
        "shared_parameters": shared,
        "bytes_per_round": 2 * _BYTES_PER_NUMBER * shared,
        "rounds": terms.rounds,
        "local_steps": terms.local_steps,
        "expected_batch": terms.expected_batch,
        "quorum": terms.quorum,
        "deadline_seconds": terms.deadline_seconds,
        "attempts": terms.attempts,
        "server": asdict(federation.server),
        "privacy": asdict(federation.privacy) if federation.privacy else None,
        "tiers": {name: asdict(tier) for name, tier in federation.tiers.items()},
    }


def _table(facts: dict[str, Any]) -> Table:
    table = Table(title=f"{facts['name']}: the contract is valid", show_header=False, title_justify="left")
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(key.replace("_", " "), _spoken(value))
    return table


def _spoken(value: object) -> str:
    if value is None:
        return "none declared"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_spoken(inner)}" for key, inner in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    command_line.run(app)
