"""Prints `docs/cli.md` from the commands' own help: `python -m tests.cli_reference > docs/cli.md`.

It reads what the commands declare rather than what a terminal shows, so that the page depends neither on a
terminal's width nor on the version of the library that draws it.
"""

import inspect
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import click
import typer

ROOT = Path(__file__).resolve().parents[1]
_HEADER = """\
# Commands

What each command prints with `--help`. The page is generated: change a command, then run
`python -m tests.cli_reference > docs/cli.md`.

An error that FedBazaar raises on purpose is one line on stderr and exit code 1. A command line that cannot be
read is exit code 2.
"""
_OF_THE_SHELL = ("install_completion", "show_completion")


class Parameter(NamedTuple):
    """An argument or option of a command."""

    name: str
    value: str
    required: bool
    meaning: str


def commands() -> dict[str, click.Command]:
    """Return every command and subcommand under its full name, in the order of `[project.scripts]`."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    roots = {
        name: typer.main.get_command(import_module(entry.split(":")[0]).app)
        for name, entry in scripts.items()
    }
    return dict(found for name, command in roots.items() for found in _below(name, command))


def parameters(command: click.Command) -> list[Parameter]:
    """Return what may stand behind a command, without what installs a shell's completion."""
    return [_parameter(command, p) for p in command.params if p.name not in _OF_THE_SHELL]


def reference() -> str:
    """Return the page."""
    return "\n".join([_HEADER, *(_section(name, command) for name, command in commands().items())])


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for part, below in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {part}", below)


def _parameter(command: click.Command, found: click.Parameter) -> Parameter:
    named = found.param_type_name == "option"
    flag = getattr(found, "is_flag", False)
    return Parameter(
        name=", ".join([*found.opts, *found.secondary_opts]) if named else str(found.name).upper(),
        value=found.type.name.upper() if named and not flag else "",
        required=found.required,
        meaning=_meaning(command, found),
    )


def _meaning(command: click.Command, found: click.Parameter) -> str:
    """Return the help that the command's function declares; some versions of click drop an argument's."""
    hints: dict[str, Any] = get_type_hints(command.callback, include_extras=True) if command.callback else {}
    declared = [getattr(part, "help", None) for part in get_args(hints.get(str(found.name)))]
    return next((text for text in declared if text), "")


def _section(name: str, command: click.Command) -> str:
    level = "###" if " " in name else "##"
    usage = " ".join([name, *(_usage(p) for p in parameters(command))])
    return "\n".join(
        [f"{level} {name}", "", f"`{usage}`", "", inspect.cleandoc(command.help or ""), "", *_table(command)]
    )


def _usage(parameter: Parameter) -> str:
    written = " ".join(part for part in (parameter.name, parameter.value) if part)
    return written if parameter.required else f"[{written}]"


def _table(command: click.Command) -> list[str]:
    below = {name: _first_line(c.help) for name, c in getattr(command, "commands", {}).items()}
    rows = [f"| `{p.name}` | {p.meaning} |" for p in parameters(command)]
    rows += [f"| `{name}` | {line} |" for name, line in below.items()]
    return ["| | |", "|---|---|", *rows, ""] if rows else []


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else ""


if __name__ == "__main__":
    print(reference(), end="")
