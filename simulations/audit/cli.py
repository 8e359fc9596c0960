"""The auditor's command, `fedbazaar-audit`."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared_model import command_line

if TYPE_CHECKING:
    from .report import Report

app = typer.Typer(
    help="Check a privacy claim against evidence.", no_args_is_help=True, pretty_exceptions_enable=False
)
_console = Console(emoji=False, width=None if sys.stdout.isatty() else 120)
_errors = Console(stderr=True, emoji=False)

Out = Annotated[
    Path | None, typer.Option(help="Folder for the signed JSON file and the page.", file_okay=False)
]
Key = Annotated[
    Path | None,
    typer.Option(help="The auditor's private key, PEM; made there where there is none."),
]
Seed = Annotated[
    int, typer.Option(min=0, help="Of everything the audit draws; the same gives the same report.")
]


@app.callback()
def _commands() -> None:
    """Check a privacy claim against evidence, without trusting the people who made it."""


@app.command()
def certify(
    contract: Annotated[Path, typer.Argument(help="The contract, federation.toml.", dir_okay=False)],
    tier: Annotated[
        list[str] | None, typer.Option(help="Of merchants; by default all that release anything.")
    ] = None,
    out: Out = None,
    key: Key = None,
    seed: Seed = 0,
    mutants: Annotated[bool, typer.Option(help="Show that the checks catch broken mechanisms.")] = True,
) -> None:
    """Hold the mechanism that a contract would run against evidence. Fails where that refutes the claim."""
    from shared_model.privacy.words import missing
    from shared_model.schema import load_federation

    from .certify import certify as certified
    from .certify import releasing

    federation = load_federation(contract)
    if federation.privacy is None:
        raise missing(contract, "no mechanism to certify")
    with _progress() as progress:
        report = certified(
            federation,
            tier or releasing(federation),
            seed=seed,
            command=_command(),
            with_mutants=mutants,
            progress=progress,
        )
    _finish(report, out or Path("audit"), key)


@app.command()
def run(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Of a run, or a merchant's own folder.")],
    contract: Annotated[
        Path | None, typer.Option(help="The federation.toml; by default the nearest one above a ledger.")
    ] = None,
    out: Out = None,
    key: Key = None,
) -> None:
    """Check the ledgers of a finished run and count again what they spent. Fails where they do not add up."""
    from .finished import audit_run

    with _progress() as progress:
        report = audit_run(directory, contract, command=_command(), progress=progress)
    _finish(report, out or directory / "audit", key)


@app.command()
def mutants(seed: Seed = 0) -> None:
    """Hunt broken mechanisms with the same checks; print what caught each. Fails where one survives."""
    from .certify import against, hunted
    from .reference import reference
    from .terminal import mutants_table

    with _progress() as progress:
        progress("the honest mechanism")
        honest = tuple(against(reference(seed=seed)))
        found = hunted(seed, progress)
    _console.print(mutants_table(found, honest))
    if honest or not all(found.values()):
        raise typer.Exit(1)


@app.command()
def verify(
    report: Annotated[Path, typer.Argument(help="The signed JSON file of an audit.", dir_okay=False)],
    key: Annotated[
        str, typer.Option(help="Public key of the auditor: ed25519:...; else the file's own.")
    ] = "",
) -> None:
    """Check the signature of an audit's report and print its verdict."""
    from . import signed

    found = signed.read(report, key=key)
    _console.print(
        f"{report}: signed and unchanged. Audit of {found['name']}: {_SAYS[found['verdict']]}.",
        soft_wrap=True,
    )
    if not key:
        _console.print("By the key that the file names itself; --key says whose it must be.", soft_wrap=True)


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
        _console.print(*map(wire_table.shown, audits))
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


def _finish(report: "Report", out: Path, key: Path | None) -> None:
    """Print a report, write it twice, and leave with its verdict."""
    from . import page, signed
    from .terminal import summary

    made = datetime.now(UTC)
    pem = signed.key_at(key or out / "auditor-key.pem")
    public = signed.write(out / f"{report.kind}.json", report, key=pem, made=made)
    page.write(out / f"{report.kind}.html", report, key=public, made=made)
    _console.print(summary(report))
    _console.print(f"Signed by {public}", soft_wrap=True, highlight=False)
    _console.print(f"Report: {out / f'{report.kind}.html'} and .json", soft_wrap=True)
    if report.verdict == "refuted":
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being looked at; on one thread, since models this small only lose by more."""
    import torch

    torch.set_num_threads(1)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=_errors, transient=True) as shown:
        task = shown.add_task("")
        yield lambda what: shown.update(task, description=what)


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


_SAYS = {"holds": "nothing was found against the claim", "refuted": "the claim is refuted"}
