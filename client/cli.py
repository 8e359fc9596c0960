"""The merchant's command, `fedbazaar-client`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from shared_model import command_line
from shared_model.schema import load_federation

from .roles import Role

app = typer.Typer(
    help="One merchant's side of a federation: own data, own tasks, own predictions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Merchant = Annotated[Path, typer.Argument(help="The merchant's own file, merchant.toml, or its folder.")]
Contract = Annotated[
    Path | None,
    typer.Option("--contract", help="The agreement; without it the one that [connect] names."),
]


@app.callback()
def _commands() -> None:
    """One merchant's side of a federation: own data, own tasks, own predictions."""


@app.command()
def check(
    merchant: Merchant,
    contract: Contract = None,
    report: Annotated[Path | None, typer.Option("--json", help="Write the report to this file too.")] = None,
) -> None:
    """Read the data and say what it is good for, before anything is sent anywhere.

    Exit code 1 means that this merchant would be refused as things stand.
    """
    from shared_model import files

    from .check import show
    from .config import load_merchant
    from .connection import load_deployed, merchant_file
    from .data.dataset import prepare
    from .data.quality import inspect

    federation = load_federation(contract or load_deployed(merchant).connection.contract)
    config = load_merchant(merchant_file(merchant), federation)
    quality = inspect(prepare(config, federation), config, federation)
    show(quality, Console(emoji=False))
    if report is not None:
        files.write(report, json.dumps(asdict(quality), indent=2).encode(), durable=False)
    if quality.refusals:
        raise typer.Exit(1)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder to make, or one that has a merchant.toml already.")],
    invitation: Annotated[
        Path, typer.Option("--invitation", help="Folder that the coordinator gave: federation.toml, ca.crt.")
    ],
    name: Annotated[str, typer.Option("--name", help="How the federation calls this merchant.")],
) -> None:
    """Make what it takes to be connected: a key of its own, the agreement, and where the coordinator is."""
    from .joining import join, show

    show(join(folder, invitation, name), Console(emoji=False))


@app.command()
def status(
    merchant: Merchant,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Say what the agent was asked, trained and refused, and what is served for every task and why."""
    from .agent import commands, show

    told = commands.status(merchant)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        show.show(told, Console(emoji=False))


@app.command()
def ledger(
    merchant: Merchant,
    contract: Contract = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Say what was spent of the privacy budget, on what, and what is left; by two accountants."""
    from shared_model.privacy.words import missing

    from .config import load_merchant
    from .connection import load_deployed, merchant_file
    from .spending import ledgers, spending
    from .spending_show import show

    file = contract or load_deployed(merchant).connection.contract
    federation = load_federation(file)
    if federation.privacy is None:
        raise missing(file, "no budget to account for")
    config = load_merchant(merchant_file(merchant), federation)
    found = [spending(config, federation, file) for file in ledgers(config)]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
    else:
        show(found, Console(emoji=False))


@app.command()
def adopt(
    merchant: Merchant,
    released: Annotated[Path, typer.Argument(help="The coordinator's file, released.safetensors.")],
) -> None:
    """Take over a release that the coordinator did not deliver; say what is served now, and why."""
    from .agent import commands, show

    show.show_served(commands.adopt(merchant, released)["adopted"], Console(emoji=False))


@app.command()
def up(
    merchant: Merchant,
    role: Annotated[
        Role, typer.Option("--role", help="Only the half with the data, or the one that is connected.")
    ] = Role.ALL,
    seed: Annotated[
        int | None, typer.Option(help="Repeat the draws of a simulation; refused by a private contract.")
    ] = None,
) -> None:
    """Run the merchant's processes and keep them running, until Ctrl-C.

    Where two users of the machine run the two halves, each calls this with a role.
    """
    from .screen import Screen
    from .up import up

    up(merchant, role, Screen(Console(emoji=False)), seed=seed)


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    command_line.run(app)
