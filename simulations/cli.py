"""The researcher's command, `fedbazaar-sim`."""

import logging

import typer

from shared_model import command_line

from .commands import markets, runs, studies
from .commands.benchmark import benchmark

COMMANDS = (
    runs.demo,
    runs.run,
    runs.resume,
    runs.rerun,
    studies.frontier,
    studies.transfer,
    studies.join,
    studies.compare,
    studies.sweep,
    studies.schedule,
    studies.scale,
    markets.partition,
    markets.truth,
    markets.split,
    runs.report,
    benchmark,
)
"""In the order in which `--help` lists them."""

app = typer.Typer(
    help="Simulate federations on one machine.", no_args_is_help=True, pretty_exceptions_enable=False
)
for _command in COMMANDS:
    app.command()(_command)


@app.callback()
def _commands() -> None:
    """Simulate federations on one machine."""


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    command_line.run(app)
