"""Measure."""

from pathlib import Path
from typing import Annotated

import typer

from shared_model.errors import ConfigError

from .console import console


def benchmark(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all by default.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write one benchmark's figures there.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write NAME.json of every benchmark there.")] = None,
    pfl_python: Annotated[
        Path | None, typer.Option(help="Python of an environment with pfl-research, for `engines`.")
    ] = None,
) -> None:
    """Measure; print every figure beside its target."""
    from ..benchmarks import BENCHMARKS, engines
    from ..benchmarks.report import environment, table, write

    chosen = names or list(BENCHMARKS)
    for name in chosen:
        if name not in BENCHMARKS:
            raise ConfigError("fedbazaar-sim benchmark", "NAMES", name, f"one of {', '.join(BENCHMARKS)}")
    if json_file and len(chosen) > 1:
        raise ConfigError(
            "fedbazaar-sim benchmark", "--json", str(json_file), "--output for several benchmarks"
        )
    for name in chosen:
        measured = engines.run(pfl_python=pfl_python) if name == "engines" else BENCHMARKS[name]()
        console.print(table(name, measured))
        console.print(", ".join(f"{fact} {value}" for fact, value in environment().items()))
        if json_file:
            write(json_file, measured)
        if output:
            write(output / f"{name}.json", measured)
