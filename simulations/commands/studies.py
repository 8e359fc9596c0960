"""Questions to an experiment: a study each, which goes on if stopped."""

from pathlib import Path
from typing import Annotated

import typer

from shared_model import files

from ..transfer.groups import By
from .asking import Data, ExperimentFile, Out, Workers, study


def frontier(
    experiment: ExperimentFile,
    epsilon: Annotated[
        list[float] | None, typer.Option("--epsilon", help="Budgets to try; 1, 2, 4 and 8 by default.")
    ] = None,
    data: Data = None,
    out: Out = None,
) -> None:
    """Draw utility against epsilon: alone, federated at each epsilon, without privacy. Goes on if stopped."""
    from .. import frontier as measuring

    study("frontier", experiment, out, {"data": data, "epsilons": epsilon or list(measuring.EPSILONS)})


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
        By | None,
        typer.Option(help="Matrix only: what a source is; merchants where there are few, else groups."),
    ] = None,
    out: Out = None,
) -> None:
    """Leave merchants out, let each join with few orders: warm-started against alone. Goes on if stopped."""
    if matrix or by:
        directory = out or Path("runs") / f"matrix-{experiment.stem}{f'-{by}' if by else ''}"
        study("matrix", experiment, directory, {"data": data, "by": by, "seeds": seeds})
        return
    directory = out or Path("runs") / f"transfer-{experiment.stem}"
    asked = {"data": data, "merchants": merchants, "folds": folds, "seeds": seeds}
    study("transfer", experiment, directory, asked)


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
    directory = out or Path("runs") / f"join-{experiment.stem}-{merchant}"
    asked = {
        "data": data,
        "merchant": merchant,
        "epsilons": epsilon or None,
        "contributions": contributions,
        "seeds": seeds,
    }
    study("join", experiment, directory, asked)


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
    written = study("compare", comparison, directory, asked)
    if page:
        files.write(page, written.encode(), durable=False)


def sweep(
    file: Annotated[Path, typer.Argument(help="The sweep's TOML file.")],
    data: Data = None,
    out: Out = None,
    workers: Workers = 1,
) -> None:
    """Train an experiment at every point of a grid; name the best on validation rows. Goes on if stopped."""
    directory = out or Path("runs") / f"sweep-{file.stem}"
    study("sweep", file, directory, {"data": data, "workers": workers})


def schedule(
    file: Annotated[Path, typer.Argument(help="The schedule's TOML file.")],
    data: Data = None,
    out: Out = None,
    workers: Workers = 1,
) -> None:
    """Choose deadline and quorum in simulated time, for merchants that are slow, away, late or gone."""
    directory = out or Path("runs") / f"schedule-{file.stem}"
    study("schedule", file, directory, {"data": data, "workers": workers})


def scale(
    file: Annotated[Path, typer.Argument(help="The scale study's TOML file.")], out: Out = None
) -> None:
    """Train made-up markets of ever more merchants in memory: time, memory, quality. Goes on if stopped."""
    study("scale", file, out or Path("runs") / f"scale-{file.stem}", {})
