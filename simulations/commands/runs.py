"""One run: make it, go on with it, make it again, draw it again."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from server.reporting import results, terminal
from server.reporting.html import write_report

from ..backends import IN_PROCESS, Backend
from ..experiment import EXPERIMENTS
from ..runs import recording
from ..runs import rerun as repeating
from .asking import By, Cpus, Data, ExperimentFile, On, Out, perform, progress_bars, study
from .console import console, errors


def demo(out: Out = None) -> None:
    """Train a federation of twelve synthetic merchants; print who gains, write a report. Under a minute."""
    _run(EXPERIMENTS / "demo.toml", None, out)


def run(
    experiment: ExperimentFile,
    data: Data = None,
    out: Out = None,
    backend: On = "in-process",
    engine: By = "auto",
    cpus: Cpus = 1,
) -> None:
    """Run an experiment: federated, alone and pooled, with intervals, targets and a report."""
    _run(experiment, data, out, Backend(name=backend, engine=engine, cpus=cpus))


def resume(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Go on with a run that was stopped; it ends as if it had never stopped."""
    perform(recording.resumed(directory))


def rerun(directory: Annotated[Path, typer.Argument(help="The directory of a run that has ended.")]) -> None:
    """Make a run again in a new directory beside it; say whether the results are the same, bit for bit."""
    for warning in repeating.warnings(directory):
        errors.print(f"Warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    with progress_bars() as progress:
        outcome = repeating.rerun(directory, progress)
    for line in (*(f"changed since: {name}" for name in outcome.tampered), *outcome.differences):
        console.print(line, markup=False, soft_wrap=True)
    console.print(outcome.verdict, markup=False, soft_wrap=True)
    if not outcome.identical:
        raise typer.Exit(1)


def report(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Draw the report of a finished run again, from its result.json alone."""
    result = results.read(directory / "result.json")
    write_report(result, directory / "report.html")
    console.print(terminal.report(result))
    console.print(f"Report: {directory / 'report.html'}", soft_wrap=True)


def _run(experiment: Path, data: Path | None, out: Path | None, backend: Backend = IN_PROCESS) -> None:
    study("run", experiment, out, {"data": data, "backend": asdict(backend)}, prefix="")
