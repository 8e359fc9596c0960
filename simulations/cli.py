"""The researcher's command, `fedbazaar-sim`."""

import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from server.reporting import results, terminal
from server.reporting.html import write_report
from shared_model import command_line, files
from shared_model.errors import ConfigError

from . import backends, runner
from .backends import IN_PROCESS, Backend
from .datasets import read
from .engines import Engine
from .experiment import load_experiment
from .partition import write as write_market
from .runs import recording
from .runs import rerun as repeating
from .runs.studies import Asked
from .transfer.groups import By as GroupsBy

EXPERIMENTS = Path(__file__).parent / "experiments"

app = typer.Typer(
    help="Simulate federations on one machine.", no_args_is_help=True, pretty_exceptions_enable=False
)
_console = Console(emoji=False, width=None if sys.stdout.isatty() else 120)
_errors = Console(stderr=True, emoji=False)

Data = Annotated[
    Path | None,
    typer.Option(help="Folder of the market's original data (docs/datasets.md).", file_okay=False),
]
Out = Annotated[Path | None, typer.Option(help="Run directory; a new one under runs/ by default.")]
On = Annotated[backends.Name, typer.Option("--backend", help="Merchants work in this process, or on Ray.")]
By = Annotated[Engine, typer.Option("--engine", help="Merchants train one after another, or together.")]
Cpus = Annotated[int, typer.Option(min=1, help="Ray only: processors that one worker occupies.")]
Workers = Annotated[int, typer.Option(min=1, help="Trainings at a time.")]
ExperimentFile = Annotated[Path, typer.Argument(help="The experiment's TOML file.")]


@app.callback()
def _commands() -> None:
    """Simulate federations on one machine."""


@app.command()
def demo(out: Out = None) -> None:
    """Train a federation of twelve synthetic merchants; print who gains, write a report. Under a minute."""
    _run(EXPERIMENTS / "demo.toml", None, out)


@app.command()
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


@app.command()
def resume(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Go on with a run that was stopped; it ends as if it had never stopped."""
    _perform(recording.resumed(directory))


@app.command()
def rerun(directory: Annotated[Path, typer.Argument(help="The directory of a run that has ended.")]) -> None:
    """Make a run again in a new directory beside it; say whether the results are the same, bit for bit."""
    for warning in repeating.warnings(directory):
        _errors.print(f"Warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    with _progress() as progress:
        outcome = repeating.rerun(directory, progress)
    for line in (*(f"changed since: {name}" for name in outcome.tampered), *outcome.differences):
        _console.print(line, markup=False, soft_wrap=True)
    _console.print(outcome.verdict, markup=False, soft_wrap=True)
    if not outcome.identical:
        raise typer.Exit(1)


@app.command()
def frontier(
    experiment: ExperimentFile,
    epsilon: Annotated[
        list[float] | None, typer.Option("--epsilon", help="Budgets to try; 1, 2, 4 and 8 by default.")
    ] = None,
    data: Data = None,
    out: Out = None,
) -> None:
    """Draw utility against epsilon: alone, federated at each epsilon, without privacy. Goes on if stopped."""
    from . import frontier as measuring

    _study("frontier", experiment, out, {"data": data, "epsilons": epsilon or list(measuring.EPSILONS)})


@app.command()
def transfer(
    experiment: ExperimentFile,
    data: Data = None,
    merchants: Annotated[
        int | None,
        typer.Option(min=1, help="Leave only so many out, spread over the market; by default all."),
    ] = None,
    folds: Annotated[
        int, typer.Option(min=2, help="Federations a seed; the merchants of one fold are left out together.")
    ] = 8,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many of the experiment.")
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Map who teaches whom instead: from source to target.")
    ] = False,
    by: Annotated[
        GroupsBy | None,
        typer.Option(help="Matrix only: what a source is; merchants where there are few, else groups."),
    ] = None,
    out: Out = None,
) -> None:
    """Leave merchants out, let each join with few orders: warm-started against alone. Goes on if stopped."""
    if matrix or by:
        directory = out or Path("runs") / f"matrix-{experiment.stem}{f'-{by}' if by else ''}"
        _study("matrix", experiment, directory, {"data": data, "by": by, "seeds": seeds})
        return
    directory = out or Path("runs") / f"transfer-{experiment.stem}"
    asked = {"data": data, "merchants": merchants, "folds": folds, "seeds": seeds}
    _study("transfer", experiment, directory, asked)


@app.command()
def join(
    experiment: ExperimentFile,
    merchant: Annotated[str, typer.Option(help="Who thinks of joining: a merchant of the experiment.")],
    epsilon: Annotated[
        list[float] | None,
        typer.Option("--epsilon", help="Budgets to try beside the contract's own; 8, 4 and 1 by default."),
    ] = None,
    contributions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Leave out so many in turn, drawn at random; by default all of up to 12, else one.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many of the experiment.")
    ] = None,
    data: Data = None,
    out: Out = None,
) -> None:
    """Should one merchant join? What it gains, what it costs, who else gains. Goes on if stopped."""
    from .join.options import EPSILONS

    directory = out or Path("runs") / f"join-{experiment.stem}-{merchant}"
    asked = {
        "data": data,
        "merchant": merchant,
        "epsilons": epsilon or list(EPSILONS),
        "contributions": contributions,
        "seeds": seeds,
    }
    _study("join", experiment, directory, asked)


@app.command()
def compare(
    comparison: Annotated[Path, typer.Argument(help="The comparison's TOML file.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with one folder of originals per data set (docs/datasets.md).", file_okay=False
        ),
    ] = None,
    out: Out = None,
    workers: Workers = 1,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", help="Only this one; may be repeated.")
    ] = None,
    training: Annotated[
        list[str] | None, typer.Option("--training", help="Only this one; may be repeated.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the results there too, as Markdown.")] = None,
) -> None:
    """Compare methods on data sets, tuned on validation rows, with intervals. Goes on if stopped."""
    directory = out or Path("runs") / f"compare-{comparison.stem}"
    asked = {"data": data, "workers": workers, "datasets": dataset or [], "trainings": training or []}
    written = _study("compare", comparison, directory, asked)
    if page:
        files.write(page, written.encode(), durable=False)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep's TOML file.")],
    data: Data = None,
    out: Out = None,
    workers: Workers = 1,
) -> None:
    """Train an experiment at every point of a grid; name the best on validation rows. Goes on if stopped."""
    directory = out or Path("runs") / f"sweep-{file.stem}"
    _study("sweep", file, directory, {"data": data, "workers": workers})


@app.command()
def schedule(
    file: Annotated[Path, typer.Argument(help="The schedule's TOML file.")],
    data: Data = None,
    out: Out = None,
    workers: Workers = 1,
) -> None:
    """Choose deadline and quorum in simulated time, for merchants that are slow, away, late or gone."""
    directory = out or Path("runs") / f"schedule-{file.stem}"
    _study("schedule", file, directory, {"data": data, "workers": workers})


@app.command()
def scale(
    file: Annotated[Path, typer.Argument(help="The scale study's TOML file.")], out: Out = None
) -> None:
    """Train made-up markets of ever more merchants in memory: time, memory, quality. Goes on if stopped."""
    _study("scale", file, out or Path("runs") / f"scale-{file.stem}", {})


@app.command()
def partition(
    experiment: ExperimentFile, out: Annotated[Path, typer.Option(help="Where to.")], data: Data = None
) -> None:
    """Write the merchants of an experiment as folders with their files and merchant.toml; train nothing."""
    loaded = load_experiment(experiment, data=data)
    written = write_market(read(loaded.market, experiment.parent), out)
    _console.print(f"Wrote {len(written)} merchants to {out}. Look at one with:")
    contract = experiment.parent / loaded.experiment.contract
    _console.print(f"  fedbazaar-client check {written[0]} --contract {contract}", soft_wrap=True)


@app.command()
def truth(
    experiment: ExperimentFile,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the answers there.")] = None,
) -> None:
    """Say what federating is worth in a scenario, in seconds: its right answer, with nothing trained."""
    from .scenarios.answer import answers_of, table, to_json

    found = answers_of(experiment)
    if json_file:
        files.write(json_file, to_json(found), durable=False)
    _console.print(table(found))


@app.command()
def split(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file.", dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Where to.")],
    by: Annotated[str, typer.Option(help="key, dirichlet, quantity or time (docs/datasets.md).")] = "key",
    column: Annotated[str, typer.Option(help="Of the key, of the label, or of time.")] = "",
    merchants: Annotated[int | None, typer.Option(help="How many; of a key the largest, or all.")] = None,
    minimum: Annotated[int | None, typer.Option(help="Rows of a key's value that is kept.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Of dirichlet: small for mixes that differ.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Of quantity: spread of the sizes' logarithm.")] = None,
    together: Annotated[
        str | None, typer.Option(help="Column whose rows stay together; the unit by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of dirichlet and quantity.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="TASK=COLUMN; may be repeated.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="FEATURE=COLUMN; may be repeated.")] = None,
    time: Annotated[str, typer.Option(help="Column with the time of a row.")] = "",
    unit: Annotated[str, typer.Option(help="Column with the shopper of a row.")] = "",
    orders: Annotated[str, typer.Option(help="Rows are order lines in the columns of this preset.")] = "",
    validation_from: Annotated[str, typer.Option(help="First day of the validation, as 2024-10-01.")] = "",
    test_from: Annotated[str, typer.Option(help="First day of the test.")] = "",
) -> None:
    """Split a table of your own into merchants' folders, by a key or a made-up skew; train nothing."""
    from .datasets.table.command import asked

    options = asked(
        file,
        table={
            "time": time,
            "unit": unit,
            "holds": "orders" if orders else "",
            "preset": orders,
            "validation_from": validation_from,
            "test_from": test_from,
        },
        partition={
            "by": by,
            "column": column,
            "merchants": merchants,
            "minimum": minimum,
            "alpha": alpha,
            "sigma": sigma,
            "together": together,
            "seed": seed,
        },
        labels=label or (),
        features=feature or (),
    )
    market = read(options)
    written = write_market(market, out)
    left_out = sum(market.dropped.values())
    _console.print(f"Wrote {len(written)} merchants to {out}; {left_out} rows belong to none of them.")


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Draw the report of a finished run again, from its result.json alone."""
    result = results.read(directory / "result.json")
    write_report(result, directory / "report.html")
    _console.print(terminal.report(result))
    _console.print(f"Report: {directory / 'report.html'}", soft_wrap=True)


@app.command()
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
    from .benchmarks import BENCHMARKS, engines
    from .benchmarks.report import environment, table, write

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
        _console.print(table(name, measured))
        _console.print(", ".join(f"{fact} {value}" for fact, value in environment().items()))
        if json_file:
            write(json_file, measured)
        if output:
            write(output / f"{name}.json", measured)


def main() -> None:
    """Run the command (`shared_model.command_line.run`)."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    command_line.run(app)


def _run(experiment: Path, data: Path | None, out: Path | None, backend: Backend = IN_PROCESS) -> None:
    _study("run", experiment, out, {"data": data, "backend": asdict(backend)}, prefix="")


def _study(
    study: str, file: Path, out: Path | None, arguments: Mapping[str, Any], *, prefix: str | None = None
) -> Any:
    """Run a study in `out`, or in a new directory under runs/; print what came of it, and return it."""
    begins = f"{study}-" if prefix is None else prefix
    directory = out or Path("runs") / f"{begins}{file.stem}-{datetime.now():%Y%m%d-%H%M%S}"
    kept = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
    return _perform(Asked(study=study, file=file, out=directory, arguments=kept, command=_command()))


def _perform(asked: Asked) -> Any:
    with _progress() as progress:
        found = recording.perform(asked, progress)
    _SHOWN[asked.study](found, asked.out)
    return found


def _show_run(result: results.Result, directory: Path) -> None:
    _console.print(terminal.report(result))
    for check in result.checks:
        _console.print(
            f"{'met    ' if check.met else 'NOT MET'} {check.id}: {_figure(check)}",
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
    _console.print(f"\nReport: {directory / 'report.html'}", soft_wrap=True)


def _show_frontier(found: Any, directory: Path) -> None:
    from . import frontier_page

    _console.print(frontier_page.table(found))
    _console.print(f"\nPicture: {directory / 'frontier.html'}", soft_wrap=True)


def _show_transfer(found: Any, directory: Path) -> None:
    from .transfer import curves_page

    _console.print(curves_page.table(found))
    _console.print(f"\nCurves: {directory / 'transfer.html'}", soft_wrap=True)


def _show_matrix(found: Any, directory: Path) -> None:
    from .transfer import matrix_page

    _console.print(matrix_page.table(found))
    _console.print(f"\nMap: {directory / 'matrix.html'}", soft_wrap=True)


def _show_join(found: Any, directory: Path) -> None:
    from .join import page

    for drawn in page.terminal(found):
        _console.print(drawn)
    _console.print(f"\nReport: {directory / 'join.html'}", soft_wrap=True)


def _show_compare(found: Any, directory: Path) -> None:
    _console.print(f"Results: {directory / 'results.md'}", soft_wrap=True)


def _show_sweep(found: Any, directory: Path) -> None:
    from .sweep import page

    _console.print(page.table(found))
    _console.print(f"\n{page.answer(found)}", markup=False, soft_wrap=True)
    for failure in page.failures(found):
        _console.print(failure, markup=False, soft_wrap=True)
    _console.print(f"\nPage: {directory / 'sweep.html'}, table: {directory / 'sweep.csv'}", soft_wrap=True)


def _show_schedule(found: Any, directory: Path) -> None:
    from .schedule import page

    _console.print(page.table(found))
    _console.print(f"\n{page.answer(found)}", markup=False, soft_wrap=True)
    _console.print("Assumed, not measured: " + " | ".join(found.assumed), markup=False, soft_wrap=True)
    _console.print(f"\nPage: {directory / 'schedule.html'}", soft_wrap=True)


def _show_scale(found: Any, directory: Path) -> None:
    from .scale import page

    _console.print(page.table(found))
    _console.print(f"\n{page.answer(found)}", markup=False, soft_wrap=True)
    _console.print(f"\nPage: {directory / 'scale.html'}", soft_wrap=True)


_SHOWN: dict[str, Callable[[Any, Path], None]] = {
    "run": _show_run,
    "frontier": _show_frontier,
    "transfer": _show_transfer,
    "matrix": _show_matrix,
    "join": _show_join,
    "compare": _show_compare,
    "scale": _show_scale,
    "schedule": _show_schedule,
    "sweep": _show_sweep,
}
"""Study -> prints what it found."""


def _figure(check: results.Check) -> str:
    value = "not measured" if check.value is None else f"{check.value:.2f}{check.unit}"
    return f"{value} (target {check.target:g}{check.unit}). {check.text}"


@contextmanager
def _progress() -> Iterator[runner.Progress]:
    """Show one bar per stage that has begun."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=_errors) as shown:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = shown.add_task(stage, total=total)
            shown.update(bars[stage], completed=done, total=total)

        yield progress


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
