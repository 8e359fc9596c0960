"""The auditor's command, `fedbazaar-audit`."""

import typer

from shared_model import command_line

app = typer.Typer(
    help="Check a privacy claim against evidence.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def _commands() -> None:
    """Check a privacy claim against evidence, without trusting the people who made it."""


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    command_line.run(app)
